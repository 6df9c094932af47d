"""The pictures of the feature tests, the same formulas as crates/fvc-features/tests/it/picture.rs."""
import numpy as np


def _triangle(value, period):
    phase = value % period
    return np.minimum(phase, period - phase)


def _hash(x, y, z):
    u = np.uint32
    with np.errstate(over="ignore"):
        mixed = x.astype(u) * u(0x9E3779B1) + y.astype(u) * u(0x85EBCA77) + u(z) * u(0xC2B2AE3D)
        mixed ^= mixed >> u(16)
        mixed *= u(0x85EBCA6B)
        mixed ^= mixed >> u(13)
        mixed *= u(0xC2B2AE35)
        return (mixed ^ (mixed >> u(16))).astype(np.int64)


def _scene(x, y, channel, seed):
    level = 30 + _triangle(x + 2 * y + 31 * seed + 40 * channel, 256) // 2
    level = level + _triangle(3 * x + y * (channel + 1), 64) // 2
    cx, cy = (x + 13 * seed) % 160, (y + 7 * seed) % 160
    level = np.where((cx - 80) ** 2 + (cy - 80) ** 2 < 1500, level + 70 - 20 * channel, level)
    level = np.where((x + y + seed) % 97 < 5, level // 2, level)
    noise = _hash(x, y, 3 * seed + channel)
    return np.minimum(level + (noise & 7) + ((noise >> 8) & 7), 255)


def picture(kind, width, height, seed):
    """A height x width x 3 array of uint8, RGB."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    channels = []
    for channel in range(3):
        if kind == "scene":
            level = _scene(x, y, channel, seed)
        elif kind == "static":
            level = _hash(x, y, 3 * seed + channel) >> 24
        elif kind == "blocks":
            level = _hash(x // 8, y // 8, 3 * seed + channel) >> 24
        elif kind == "flat":
            level = np.full_like(x, min(seed * (60 + 20 * channel), 255))
        else:
            raise ValueError(kind)
        channels.append(level)
    return np.ascontiguousarray(np.dstack(channels).astype(np.uint8))
