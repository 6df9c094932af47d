"""Golden pictures for augmentations, by OpenCV.

Writes crates/fvc-augment/tests/golden/pictures.json: for each kind and parameters the picture that
OpenCV makes of one that the test draws by the same formula in whole numbers.

    python tools/golden/augment_pictures.py     (needs numpy and opencv-python-headless)
"""

import json
import math
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 24, 17
LUMA = np.array([0.299, 0.587, 0.114])


def smooth() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = x * 255 // (WIDTH - 1)
    green = y * 255 // (HEIGHT - 1)
    blue = x * y * 255 // ((WIDTH - 1) * (HEIGHT - 1))
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def rough() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [(x * x * 7 + y * 13 + x * y * 5 + c * 71) * 37 % 256 for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def levels(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(picture + 0.5), 0, 255).astype(np.uint8)


def saturation(factor: float) -> np.ndarray:
    matrix = factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1))
    return levels(cv2.transform(rough().astype(np.float64), matrix))


def gaussian_blur(sigma: float) -> np.ndarray:
    side = 2 * math.ceil(3 * sigma) + 1
    picture = rough().astype(np.float64)
    blurred = cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return levels(blurred)


def affine(scale: float, shear: float, translate_x: float, translate_y: float) -> np.ndarray:
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    linear = scale * np.array([[1.0, shear], [0.0, 1.0]])
    shift = centre + np.array([translate_x * WIDTH, translate_y * HEIGHT]) - linear @ centre
    return cv2.warpAffine(
        smooth(),
        np.hstack([linear, shift[:, None]]),
        (WIDTH, HEIGHT),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


def jpeg_recompression(quality: int) -> np.ndarray:
    # OpenCV takes BGR.
    _, jpeg = cv2.imencode(".jpg", rough()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]


SEED = 0x123456789ABCDEF0
STEP = 0x9E3779B97F4A7C15


def mixed(value: np.ndarray) -> np.ndarray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def units(part: int, count: int) -> np.ndarray:
    """SplitMix64 from the seed and the part's number, as fractions."""
    start = mixed(np.uint64(SEED) ^ mixed(np.array([(part + STEP) % 2**64], dtype=np.uint64)))
    counter = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(STEP)
    return (mixed(start + counter) >> np.uint64(11)) / 2.0**53


def elastic(sigma: float, strength: float) -> np.ndarray:
    step = max(sigma * min(WIDTH, HEIGHT) / 4, 1.0)
    columns, rows = (int((side - 1) / step) + 2 for side in (WIDTH, HEIGHT))
    kernel = cv2.getGaussianKernel(33, 4.0, cv2.CV_64F)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / step
    moved = []
    for axis in range(2):
        noise = 2 * units(axis, (columns + 32) * (rows + 32)).reshape(rows + 32, columns + 32) - 1
        field = cv2.sepFilter2D(noise, cv2.CV_64F, kernel, kernel)[16:-16, 16:-16]
        field *= strength * 4 * step / (np.sqrt(1 / 3) * (kernel**2).sum())
        # Linear between the cells.
        i, j = np.floor(y).astype(int), np.floor(x).astype(int)
        upper = field[i, j] + (x - j) * (field[i, j + 1] - field[i, j])
        lower = field[i + 1, j] + (x - j) * (field[i + 1, j + 1] - field[i + 1, j])
        moved.append(upper + (y - i) * (lower - upper))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return cv2.remap(
        smooth(),
        np.clip(x + moved[0], 0, WIDTH - 1).astype(np.float32),
        np.clip(y + moved[1], 0, HEIGHT - 1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


KINDS = {
    saturation: [{"factor": factor} for factor in (0.7, 0.93, 1.0, 1.3)],
    gaussian_blur: [{"sigma": sigma} for sigma in (0.5, 0.77, 1.4, 2.0)],
    jpeg_recompression: [{"quality": quality} for quality in (30, 40, 50, 75, 95)],
    elastic: [
        {"sigma": sigma, "strength": strength}
        for sigma, strength in ((0.02, 0.1), (0.06, 0.2), (0.06, 0.25))
    ],
    affine: [
        dict(zip(("scale", "shear", "translate_x", "translate_y"), values, strict=True))
        for values in (
            (1.0, 0.0, 0.0, 0.0),
            (0.9, 0.0, 0.0, 0.0),
            (1.1, 0.1, 0.05, -0.1),
            (0.95, -0.07, -0.1, 0.08),
        )
    ],
}


def main() -> None:
    cases = [
        {"kind": make.__name__, "parameters": parameters, "rgb": make(**parameters).reshape(-1).tolist()}
        for make, draws in KINDS.items()
        for parameters in draws
    ]
    golden = {"by": f"OpenCV {cv2.__version__}", "width": WIDTH, "height": HEIGHT, "cases": cases}
    path = Path(__file__).parents[2] / "crates/fvc-augment/tests/golden/pictures.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
