#!/usr/bin/env python3
"""Reads a clip of the clip store into NumPy, without fvc.

    python3 tools/numpy_clip_reader.py FILE     prints the shape, the windows and the SHA-256 of the pixels

The file, numbers little-endian: the 8 bytes FVCCLIP2; width and height, even, 4 bytes each; the frames; the index, JSON; the length of
the index, 4 bytes; the seal, 32 bytes. A frame is width x height bytes Y, then a quarter of that each U and V: 4:2:0, BT.709, full
range, a chroma sample for each block of 2x2 pixels. The index has content_id, variant, size, for letterboxed sizes picture (left, top,
width and height of what is no bar, in pixels), and windows; a window is a list of frames, each with position (in the source), time (in
seconds) and hash (BLAKE3 of its bytes). The seal (BLAKE3 of the first 16 bytes, the index and its length) and the hashes are not
checked here, since Python has no BLAKE3 of its own.
"""
import hashlib
import json
import sys

import numpy as np


def read_clip(path):
    """The frames as uint8 RGB (frames, height, width, 3), and the index with width and height added."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"FVCCLIP2":
        raise ValueError(f"{path}: expected a clip of format 2, found {data[:8]!r}")
    width, height = (int(side) for side in np.frombuffer(data, "<u4", 2, 8))
    end = len(data) - 36
    start = end - int.from_bytes(data[end:end + 4], "little")
    index = {"width": width, "height": height, **json.loads(data[start:end])}
    count = sum(len(window) for window in index["windows"])
    planes = np.frombuffer(data[16:start], np.uint8).reshape(count, height * width * 3 // 2).astype(np.int32)
    luma, blue, red = np.split(planes, [height * width, height * width * 5 // 4], axis=1)
    y = luma.reshape(count, height, width) << 16
    u, v = (np.repeat(np.repeat(plane.reshape(count, height // 2, width // 2) - 128, 2, 1), 2, 2) for plane in (blue, red))
    # BT.709 in units of 2^-16, rounded: the same integers as the Rust reader's.
    rgb = np.stack([y + 103206 * v, y - 12276 * u - 30679 * v, y + 121609 * u], axis=-1)
    return np.clip((rgb + 32768) >> 16, 0, 255).astype(np.uint8), index


if __name__ == "__main__":
    frames, told = read_clip(sys.argv[1])
    print("shape", *frames.shape)
    print("windows", json.dumps([[[frame["position"], frame["time"]] for frame in window] for window in told["windows"]]))
    print("sha256", hashlib.sha256(frames.tobytes()).hexdigest())
