"""Writes crates/fvc-learn/tests/golden/learn_data.json: the rows that learn_logistic.py and
learn_xgboost.py fit on, so that both sides of a golden test see the same numbers.

90 sources, each with 0 to 3 variants; group = source // 2. Values have four decimals. Columns 4
and 5 have missing values (only the trees see them)."""

import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "crates/fvc-learn/tests/golden"
DATA = GOLDEN / "learn_data.json"


def make():
    draw = np.random.RandomState(7)
    sources = []
    for source in range(90):
        label = int(draw.rand() < 0.4)
        centre = draw.randn(6) + label * np.array([0.9, -0.6, 0.3, 0.0, 0.5, 0.0])
        centre[3] += 0.8 * centre[0]
        centre[2] *= 3.0
        rows = []
        for _ in range(1 + draw.randint(0, 4)):
            row = centre + 0.3 * draw.randn(6)
            missing = draw.rand(6) < np.array([0, 0, 0, 0, 0.15, 0.3])
            rows.append([None if gone else round(float(value), 4) for value, gone in zip(row, missing)])
        sources.append({"label": label, "group": source // 2, "rows": rows})
    DATA.write_text(json.dumps({"sources": sources}).replace('{"label"', '\n{"label"') + "\n")


def load(columns):
    """Values (rows x columns), labels, weights; each source weighs 1 in all."""
    values, labels, weights = [], [], []
    for source in json.loads(DATA.read_text())["sources"]:
        for row in source["rows"]:
            values.append([np.nan if row[at] is None else row[at] for at in columns])
            labels.append(source["label"])
            weights.append(1.0 / len(source["rows"]))
    return np.array(values), np.array(labels), np.array(weights)


if __name__ == "__main__":
    make()
