"""OpenCV's conversion of a 720p yuv420p picture to RGB, one thread.

    python tools/golden/media_speed.py

prints microseconds a frame (minimum and median), to set beside `cargo bench -p fvc-media --bench yuv_to_rgb`.
OpenCV's is BT.601, limited range, chroma by nearest neighbour; ours takes matrix, range and depth from the stream.
"""
import statistics
import time

import cv2
import numpy as np


def main():
    cv2.setNumThreads(1)
    planes = np.random.default_rng(1).integers(0, 256, (720 * 3 // 2, 1280), dtype=np.uint8)
    times = []
    for _ in range(1000):
        start = time.perf_counter()
        cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
        times.append(1e6 * (time.perf_counter() - start))
    print(f"minimum {min(times):.0f}, median {statistics.median(times):.0f} microseconds a frame")


if __name__ == "__main__":
    main()
