"""OpenCV's INTER_AREA on one frame, one thread.

    python tools/golden/clips_speed.py

prints microseconds a frame (minimum and median), to set beside `cargo bench -p fvc-clips --bench scale_frame`. Same pictures, same sizes.
"""
import statistics
import time

import cv2

from features_picture import picture


def main():
    cv2.setNumThreads(1)
    for size, target in (((1280, 720), (256, 144)), ((1920, 1080), (256, 144)), ((1280, 720), (224, 126))):
        rgb = picture("scene", *size, 1)
        times = []
        for _ in range(600):
            start = time.perf_counter()
            cv2.resize(rgb, target, interpolation=cv2.INTER_AREA)
            times.append(1e6 * (time.perf_counter() - start))
        name = f"{size[0]}x{size[1]} to {target[0]}x{target[1]}"
        print(f"{name}: minimum {min(times):.0f}, median {statistics.median(times):.0f} microseconds a frame")


if __name__ == "__main__":
    main()
