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


KINDS = {
    saturation: [{"factor": factor} for factor in (0.7, 0.93, 1.0, 1.3)],
    gaussian_blur: [{"sigma": sigma} for sigma in (0.5, 0.77, 1.4, 2.0)],
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
