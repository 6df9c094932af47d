"""The earlier system's fifteen features of one 720p frame by OpenCV and NumPy, one thread.

    python tools/golden/features_speed.py

prints milliseconds a frame (minimum and median), to set beside
`cargo bench -p fvc-features --bench native_features`. Same picture, twelve statistics (the three
facts of the file cost nothing), and then those of the forensic ones that `features_forensic.py` defines;
written as its definitions read, whole-array operations only, the
block DCT by whichever of two ways is faster here.
"""
import os
import statistics
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported, or not at all

import cv2
import numpy as np

import features_forensic
from features_picture import picture

KERNEL = np.full((3, 3), -1.0, np.float32)
KERNEL[1, 1] = 8.0
U, X = np.mgrid[0:8, 0:8]
BASIS = (np.where(U == 0, np.sqrt(1 / 8), 0.5) * np.cos((2 * X + 1) * U * np.pi / 16)).astype(np.float32)


def dct_by_blocks(grey):
    h, w = grey.shape
    blocks = grey.reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    return np.stack([cv2.dct(np.ascontiguousarray(block)) for block in blocks])


def dct_by_product(grey):
    h, w = grey.shape
    blocks = grey.reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    return BASIS @ blocks @ BASIS.T


def fifteen(rgb, dct):
    grey8 = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    grey = grey8.astype(np.float32)
    height, width = grey.shape
    squares = cv2.filter2D(grey, -1, KERNEL) ** 2
    out = [squares.sum(), squares.mean(), squares.std()]
    padded = np.pad(grey, ((0, -height % 8), (0, -width % 8)), mode="edge")
    spectra = dct(padded)
    dc = spectra[:, 0, 0].copy()
    spectra[:, 0, 0] = 0
    out += [dc.mean(), dc.std(), spectra.mean(), spectra.std(), (spectra**2).sum()]
    out.append(cv2.Laplacian(grey8, cv2.CV_64F).var())
    sx, sy = cv2.Sobel(grey8, cv2.CV_64F, 1, 0), cv2.Sobel(grey8, cv2.CV_64F, 0, 1)
    magnitude = np.sqrt(sx**2 + sy**2)
    out += [magnitude.mean(), magnitude.std()]
    lines = [grey[y].std() for y in range(8, height, 8)] + [grey[:, x].std() for x in range(8, width, 8)]
    out.append(np.mean(lines))
    return out


def main():
    cv2.setNumThreads(1)
    rgb = picture("scene", 1280, 720, 1)
    for name, dct in (("cv2.dct a block", dct_by_blocks), ("matrix products", dct_by_product)):
        times = []
        for _ in range(60):
            start = time.perf_counter()
            fifteen(rgb, dct)
            times.append(1e3 * (time.perf_counter() - start))
        print(f"{name}: minimum {min(times):.1f} ms, median {statistics.median(times):.1f} ms a frame")
    frames = [picture("scene", 1280, 720, seed) for seed in range(8)]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        features_forensic.measure(frames, features_forensic.side_of(1280, 720))
        times.append(1e3 * (time.perf_counter() - start) / len(frames))
    print(f"forensic, shared definitions: minimum {min(times):.1f} ms, median {statistics.median(times):.1f} ms a frame")


if __name__ == "__main__":
    main()
