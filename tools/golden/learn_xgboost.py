"""Writes crates/fvc-learn/tests/golden/learn_xgboost.json: models of XGBoost 3.2.0 on the six
columns of learn_data.json (with missing values and sample weights), their margins and SHAP values
("pred_contribs") on the first rows, and the gain of each column."""

import json

import numpy as np
import xgboost

import learn_data

values, labels, weights = learn_data.load(range(6))
rows = xgboost.DMatrix(values, label=labels, weight=weights, missing=np.nan)
share = float(np.float32((weights * labels).sum() / weights.sum()))
cases = []
for name, parameters, rounds in [
    ("plain", {"max_depth": 3, "learning_rate": 0.3, "subsample": 1.0, "colsample_bytree": 1.0}, 8),
    (
        "sampled",
        {
            "max_depth": 5,
            "learning_rate": 0.1,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "colsample_bylevel": 0.8,
            "min_child_weight": 2.0,
            "gamma": 0.2,
            "reg_alpha": 0.1,
            "reg_lambda": 2.0,
        },
        20,
    ),
    ("deep", {"max_depth": 9, "learning_rate": 1.0, "subsample": 1.0, "colsample_bytree": 1.0, "min_child_weight": 0.0, "reg_lambda": 0.0}, 4),
]:
    options = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "nthread": 1,
        "seed": 42,
        "base_score": share,
        **parameters,
    }
    model = xgboost.train(options, rows, rounds)
    few = xgboost.DMatrix(values[:40], missing=np.nan)
    gain = model.get_score(importance_type="total_gain")
    cases.append(
        {
            "name": name,
            "parameters": {**parameters, "n_estimators": rounds},
            "model": json.loads(model.save_raw("json")),
            "margins": model.predict(few, output_margin=True).tolist(),
            "probabilities": model.predict(few).tolist(),
            "contributions": model.predict(few, pred_contribs=True).tolist(),
            "gain": [gain.get(f"f{at}", 0.0) for at in range(6)],
        }
    )
    default = dict(options)
    del default["base_score"]
    estimated = json.loads(xgboost.train(default, rows, 1).save_raw("json"))
    print(name, "share", share, "the library's own", estimated["learner"]["learner_model_param"]["base_score"])
path = learn_data.GOLDEN / "learn_xgboost.json"
path.write_text(json.dumps({"xgboost": xgboost.__version__, "cases": cases}, separators=(",", ":")) + "\n")
