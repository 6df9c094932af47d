"""Writes crates/fvc-learn/tests/golden/learn_logistic.json: scikit-learn's coefficients on the
columns 0 to 3 of learn_data.json, with sample weights (scikit-learn 1.9)."""

import json
import warnings

import sklearn
from sklearn.linear_model import LogisticRegression

import learn_data

values, labels, weights = learn_data.load(range(4))
cases = []
for parameters in [
    {"penalty": "l2", "C": 0.01},
    {"penalty": "l2", "C": 1.0},
    {"penalty": "l2", "C": 10.0, "class_weight": "balanced"},
    {"penalty": "l1", "C": 0.1},
    {"penalty": "l1", "C": 1.0},
    {"penalty": "l1", "C": 0.3, "class_weight": "balanced"},
    {"penalty": "elasticnet", "C": 0.1, "l1_ratio": 0.5},
    {"penalty": "elasticnet", "C": 1.0, "l1_ratio": 0.1},
    {"penalty": "elasticnet", "C": 10.0, "l1_ratio": 0.9},
    {"penalty": "none"},
]:
    smooth = parameters["penalty"] in ("l2", "none")
    options = {
        "solver": "newton-cholesky" if smooth else "saga",
        "l1_ratio": {"l2": 0.0, "none": 0.0, "l1": 1.0}.get(parameters["penalty"], parameters.get("l1_ratio")),
        "C": parameters.get("C", float("inf")),
        "class_weight": parameters.get("class_weight"),
        "tol": 1e-12 if smooth else 1e-11,
        "max_iter": 1_000_000,
        "random_state": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(**options).fit(values, labels, sample_weight=weights)
    cases.append(
        {
            "parameters": parameters,
            "coefficients": model.coef_[0].tolist(),
            "intercept": float(model.intercept_[0]),
            "probabilities": model.predict_proba(values)[:20, 1].tolist(),
        }
    )
path = learn_data.GOLDEN / "learn_logistic.json"
path.write_text(json.dumps({"scikit_learn": sklearn.__version__, "cases": cases}, indent=1) + "\n")
