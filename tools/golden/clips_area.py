"""Golden area means: pictures scaled down by OpenCV's INTER_AREA, as crates/fvc-clips/tests/golden/area.json."""
import json
import os

import cv2

from features_picture import picture

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../crates/fvc-clips/tests/golden/area.json")

# kind, width, height, seed, named size, and the size that it stands for
CASES = [
    ("scene", 64, 36, 1, "32max", 32, 18),  # 2 on each axis
    ("static", 100, 75, 2, "32max", 32, 24),  # 25/8
    ("static", 97, 61, 3, "32max", 32, 20),  # nothing in common
    ("scene", 61, 97, 4, "20min", 20, 32),  # upright
    ("static", 51, 67, 5, "50max", 38, 50),  # hardly smaller
    ("blocks", 333, 250, 6, "32max", 32, 24),  # 333/32 and 125/12
    ("scene", 1280, 720, 7, "32max", 32, 18),  # 40
    ("static", 1279, 719, 8, "32max", 32, 18),  # long sides with nothing in common
    ("scene", 1920, 1080, 9, "18min", 32, 18),  # 60
]


def main():
    cases = []
    for kind, width, height, seed, size, to_width, to_height in CASES:
        scaled = cv2.resize(picture(kind, width, height, seed), (to_width, to_height), interpolation=cv2.INTER_AREA)
        cases.append({
            "kind": kind, "width": width, "height": height, "seed": seed, "size": size,
            "to_width": to_width, "to_height": to_height, "rgb": scaled.tobytes().hex(),
        })
    with open(OUT, "w", encoding="utf-8") as file:
        json.dump({"opencv": cv2.__version__, "cases": cases}, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
