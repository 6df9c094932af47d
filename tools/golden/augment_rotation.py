"""Golden pictures for the rotation augmentation, by OpenCV's warpAffine.

Writes crates/fvc-augment/tests/golden/rotation.json. The picture is made by a formula in whole
numbers that the test repeats: red rises with x, green with y, blue with both.

    python tools/golden/augment_rotation.py     (needs numpy and opencv-python-headless)
"""

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 24, 17
ANGLES = [-15.0, -3.7, 0.0, 0.5, 7.25, 15.0]


def picture() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = x * 255 // (WIDTH - 1)
    green = y * 255 // (HEIGHT - 1)
    blue = x * y * 255 // ((WIDTH - 1) * (HEIGHT - 1))
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def main() -> None:
    source = picture()
    centre = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    turned = []
    for angle in ANGLES:
        matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
        pixels = cv2.warpAffine(
            source,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        turned.append({"angle": angle, "rgb": pixels.reshape(-1).tolist()})
    golden = {
        "by": f"OpenCV {cv2.__version__} warpAffine, INTER_LINEAR, black border",
        "width": WIDTH,
        "height": HEIGHT,
        "turned": turned,
    }
    path = Path(__file__).parents[2] / "crates/fvc-augment/tests/golden/rotation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
