"""scikit-learn's LinearSVC and SVC on the rows of the benchmark svm_fit, one thread.

    python tools/golden/learn_svm_speed.py

prints milliseconds a fit (minimum and median), to set beside `cargo bench -p fvc-learn --bench svm_fit`. Same rows, standardised
outside of the clock; same tolerances.
"""
import statistics
import time

import numpy as np
from sklearn.svm import SVC, LinearSVC

ROWS, WIDTH = 3000, 26


def rows():
    state, mask = 1, (1 << 64) - 1
    values = np.empty((ROWS, WIDTH))
    for number in range(ROWS):
        for column in range(WIDTH):
            total = 0.0
            for _ in range(4):
                state = (state * 6364136223846793005 + 1442695040888963407) & mask
                total += (state >> 11) / (1 << 53)
            values[number, column] = total - 2.0 + (0.35 if number % 2 == 1 and column < 8 else 0.0)
    return (values - values.mean(axis=0)) / values.std(axis=0), np.arange(ROWS) % 2


def main():
    values, labels = rows()
    for kernel, c in (("linear", 1.0), ("rbf", 0.1), ("rbf", 1.0), ("rbf", 10.0)):
        times = []
        for _ in range(11):
            model = LinearSVC(C=c, dual=False, tol=1e-3) if kernel == "linear" else SVC(C=c, gamma="scale", tol=1e-3)
            start = time.perf_counter()
            model.fit(values, labels)
            times.append(1e3 * (time.perf_counter() - start))
        vectors = "" if kernel == "linear" else f", {model.n_support_.sum()} support vectors"
        print(f"{kernel}/C={c:g}: minimum {min(times):.1f}, median {statistics.median(times):.1f} ms a fit{vectors}")


if __name__ == "__main__":
    main()
