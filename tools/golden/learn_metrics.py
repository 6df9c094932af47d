"""Writes crates/fvc-learn/tests/golden/learn_metrics.json: metrics, Platt scaling and what a
preprocessor learns, by scikit-learn, statsmodels and NumPy.

- Metrics: scikit-learn's, with sample weights where each group counts 1. The calibration error is
  no function of scikit-learn's: its definition in metrics.rs is written out here.
- Platt scaling: scikit-learn's own optimiser, and statsmodels' GLM on the same targets, which
  reaches more digits.
- Preprocessing: learn_data.json with each row repeated 12 / (rows of its source) times, so that
  unweighted tools weigh every source alike, and two columns added that others nearly tell; SimpleImputer, StandardScaler, numpy.corrcoef and
  statsmodels' variance_inflation_factor, which drops one column after another by the rule that
  preprocess.rs documents."""

import json
import warnings

import numpy as np
import sklearn
import statsmodels
import statsmodels.api as sm
from sklearn.calibration import _sigmoid_calibration
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.outliers_influence import variance_inflation_factor

import learn_data

BINS = 10


def calibration_error(labels, scores, weights):
    total, below, gaps = weights.sum(), 0.0, np.zeros(BINS)
    for score in np.unique(scores):
        here = scores == score
        middle = (below + 0.5 * weights[here].sum()) / total
        at = min(int(middle * BINS), BINS - 1)
        gaps[at] += (weights * (scores - labels))[here].sum()
        below += weights[here].sum()
    return float(np.abs(gaps).sum() / total)


def metrics(labels, scores, weights):
    called = (scores >= 0.5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {
            "accuracy": accuracy_score(labels, called, sample_weight=weights),
            "balanced_accuracy": balanced_accuracy_score(labels, called, sample_weight=weights),
            "precision": precision_score(labels, called, sample_weight=weights, zero_division=np.nan),
            "recall": recall_score(labels, called, sample_weight=weights),
            "f1": f1_score(labels, called, sample_weight=weights),
            "roc_auc": roc_auc_score(labels, scores, sample_weight=weights),
            "pr_auc": average_precision_score(labels, scores, sample_weight=weights),
            "log_loss": log_loss(labels, scores, sample_weight=weights),
            "brier": brier_score_loss(labels, scores, sample_weight=weights),
            "calibration_error": calibration_error(labels, scores, weights),
        }
    return {
        # In the order of Confusion's fields.
        "confusion": confusion_matrix(labels, called, sample_weight=weights, labels=[0, 1]).ravel().tolist(),
        "values": {name: None if np.isnan(value) else float(value) for name, value in found.items()},
    }


def metric_cases():
    draw = np.random.RandomState(11)
    cases = []

    def case(name, groups, labels, scores):
        groups, labels = np.array(groups), np.array(labels)
        scores = np.round(np.array(scores, float), 4)
        size = np.bincount(groups)
        cases.append(
            {
                "name": name,
                "groups": groups.tolist(),
                "labels": labels.tolist(),
                "scores": scores.tolist(),
                "by_source": metrics(labels, scores, np.ones(len(labels))),
                "by_group": metrics(labels, scores, 1.0 / size[groups]),
            }
        )

    def rows(count, groups, effect):
        group = draw.randint(0, groups, count)
        label = (draw.rand(count) < 0.4).astype(int)
        odds = effect * (label - 0.5) + 0.7 * draw.randn(groups)[group] + draw.randn(count)
        return group, label, 1.0 / (1.0 + np.exp(-odds))

    case("every source its own group", range(60), *rows(60, 60, 1.5)[1:])
    case("groups of many sizes", *rows(97, 23, 1.0))
    group, label, score = rows(120, 31, 1.2)
    case("ties", group, label, np.round(score, 1))
    group, label, score = rows(50, 13, 0.0)
    case("worse than chance", group, label, np.where(label == 1, 0.8, 1.2) * 0.5 * score + 0.2)
    group, label, score = rows(40, 9, 2.0)
    case("sure and wrong", group, label, np.round(score))
    case("nothing called fake", group, label, 0.49 * score)
    case("one score", group, label, np.full(40, 0.5))
    group = draw.permutation(np.repeat(np.arange(20), np.arange(1, 21)))
    label, score = rows(210, 20, 1.0)[1:]
    case("group sizes 1 to 20", group, label, score)
    return cases


def platt_cases():
    draw = np.random.RandomState(12)
    cases = []
    for name, count, share, slope, shift, scale in [
        ("overlapping", 200, 0.5, 1.0, 0.0, 1.0),
        ("few fakes", 150, 0.1, 1.5, 1.0, 1.0),
        ("large margins", 120, 0.4, 1.0, 0.0, 40.0),
        ("separable", 40, 0.5, 12.0, 0.0, 1.0),
        ("tiny margins", 100, 0.5, 1.0, 0.0, 1e-5),
        ("four rows", 4, 0.5, 3.0, 0.0, 1.0),
        ("backwards", 100, 0.6, -0.8, 0.0, 1.0),
    ]:
        label = (np.arange(count) < share * count).astype(int)
        margin = (slope * (label - 0.5) + 0.5 * slope * draw.uniform(-0.9, 0.9, count) + shift) * scale
        if name != "separable":
            margin += scale * draw.randn(count)
        margin = np.array([float(f"{value:.6g}") for value in margin])
        fakes, reals = label.sum(), (1 - label).sum()
        target = np.where(label == 1, (fakes + 1.0) / (fakes + 2.0), 1.0 / (reals + 2.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Fractions are no binomial counts.
            fitted = sm.GLM(target, sm.add_constant(margin / scale), family=sm.families.Binomial()).fit(
                tol=1e-15, maxiter=200
            )
        a, b = _sigmoid_calibration(margin, label)
        cases.append(
            {
                "name": name,
                "margins": margin.tolist(),
                "labels": label.tolist(),
                "slope": float(fitted.params[1]) / scale,
                "intercept": float(fitted.params[0]),
                "scikit_learn": [-float(a), -float(b)],
            }
        )
    return cases


def drop_correlated(values, alive, bound):
    r = np.abs(np.corrcoef(values, rowvar=False))
    signed, gone = np.corrcoef(values, rowvar=False), []
    while True:
        pairs = [(r[i, j], i, j) for at, i in enumerate(alive) for j in alive[at + 1 :] if r[i, j] >= bound]
        if not pairs:
            return gone
        _, left, right = max(pairs, key=lambda pair: pair[0])
        mean = {i: sum(r[i, j] for j in alive if j != i) for i in (left, right)}
        drop, keep = (left, right) if mean[left] > mean[right] else (right, left)
        alive.remove(drop)
        gone.append([drop, keep, float(signed[drop, keep])])


def drop_inflated(values, alive, bound):
    gone = []
    while len(alive) > 1:
        design = sm.add_constant(values[:, alive])
        vifs = [variance_inflation_factor(design, at + 1) for at in range(len(alive))]
        # The later one on a tie; two columns always tie.
        worst = max(at for at, vif in enumerate(vifs) if vif >= max(vifs) * (1 - 1e-6))
        if vifs[worst] <= bound:
            break
        gone.append([alive.pop(worst), float(vifs[worst])])
    return gone


def preprocessing():
    values, _, weights = learn_data.load(range(6))
    a, b, c, d = values[:, :4].T
    values = np.column_stack([values, a + 0.5 * d + 0.1 * (b * c), b - 0.1 * (c * a)])
    repeated = np.repeat(values, np.round(12 * weights).astype(int), axis=0)
    imputer = SimpleImputer(strategy="median").fit(repeated)
    filled = imputer.transform(repeated)
    scaler = StandardScaler().fit(filled)
    some = values[:25]
    return {
        "medians": imputer.statistics_.tolist(),
        "means": scaler.mean_.tolist(),
        "deviations": np.sqrt(scaler.var_).tolist(),
        "first_rows": scaler.transform(imputer.transform(some)).tolist(),
        "correlated": [
            {"bound": bound, "dropped": drop_correlated(filled, list(range(8)), bound)} for bound in (0.05, 0.5, 0.9)
        ],
        "inflated": [
            {"bound": bound, "dropped": drop_inflated(filled, list(range(8)), bound)} for bound in (1.0, 2.0, 10.0)
        ],
    }


result = {
    "scikit_learn": sklearn.__version__,
    "statsmodels": statsmodels.__version__,
    "metrics": metric_cases(),
    "platt": platt_cases(),
    "preprocessing": preprocessing(),
}
path = learn_data.GOLDEN / "learn_metrics.json"
text = json.dumps(result, allow_nan=False)
for key in ('{"name"', '"by_source"', '"by_group"', '"preprocessing"', '"medians"', '"first_rows"', '"correlated"'):
    text = text.replace(key, "\n" + key)
path.write_text(text + "\n")
