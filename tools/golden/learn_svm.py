"""Writes crates/fvc-learn/tests/golden/learn_svm.json: what scikit-learn's LinearSVC (LIBLINEAR) and
SVC (LIBSVM), fitted on the columns 0 to 3 of learn_data.json with sample weights, decide of further
rows, and their ROC-AUC there (scikit-learn 1.9).

Class weights are given as numbers: scikit-learn's "balanced" counts rows and not their weights. So
is gamma where rows are weighted, for its "scale" does not weigh; the last cases are fitted on the
originals alone, each of weight 1, and leave it to scikit-learn."""

import json
import warnings

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC, LinearSVC

import learn_data

values, labels, weights = learn_data.load(range(4))
originals = np.array(
    [at == 0 for source in json.loads(learn_data.DATA.read_text())["sources"] for at in range(len(source["rows"]))]
)
draw = np.random.RandomState(11)
test_labels = (draw.rand(150) < 0.45).astype(int)
test = draw.randn(150, 4) + test_labels[:, None] * np.array([0.9, -0.6, 0.3, 0.0])
test[:, 3] += 0.8 * test[:, 0]
test[:, 2] *= 3.0
test = np.round(test, 4)

total, fake = weights.sum(), (weights * labels).sum()
balanced = {0: total / (2 * (total - fake)), 1: total / (2 * fake)}
cases = []
for only_originals, parameters in [
    (False, {"kernel": "linear", "C": 0.1}),
    (False, {"kernel": "linear", "C": 1.0}),
    (False, {"kernel": "linear", "C": 10.0, "class_weight": "balanced"}),
    (False, {"kernel": "rbf", "C": 0.1, "gamma": 0.1}),
    (False, {"kernel": "rbf", "C": 1.0, "gamma": 0.3}),
    (False, {"kernel": "rbf", "C": 10.0, "gamma": 0.05, "class_weight": "balanced"}),
    (True, {"kernel": "linear", "C": 1.0}),
    (True, {"kernel": "rbf", "C": 1.0, "gamma": "scale"}),
    (True, {"kernel": "rbf", "C": 10.0, "gamma": "auto"}),
]:
    options = {"C": parameters["C"], "class_weight": balanced if "class_weight" in parameters else None}
    if parameters["kernel"] == "linear":
        model = LinearSVC(**options, dual=False, tol=1e-10, max_iter=100_000)
    else:
        model = SVC(**options, kernel="rbf", gamma=parameters["gamma"], tol=1e-8)
    rows = originals if only_originals else np.full(len(labels), True)
    sample_weight = None if only_originals else weights
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(values[rows], labels[rows], sample_weight=sample_weight)
    decided = model.decision_function(test)
    cases.append(
        {
            "only_originals": only_originals,
            "parameters": parameters,
            "decisions": decided.tolist(),
            "roc_auc": roc_auc_score(test_labels, decided),
        }
    )
path = learn_data.GOLDEN / "learn_svm.json"
golden = {
    "scikit_learn": sklearn.__version__,
    "rows": test.tolist(),
    "labels": test_labels.tolist(),
    "cases": cases,
}
path.write_text(json.dumps(golden) + "\n")
