"""Golden values of the per-frame features, by OpenCV and NumPy.

    python tools/golden/features_values.py

writes crates/fvc-features/tests/golden/values.json and grey.json. Where the earlier system's
definition holds, the OpenCV call it used is used here; where it does not (marked "ours"), the
definition stated in the crate's schema is written out in NumPy. Sums are in float64.
"""
import json
import pathlib

import cv2
import numpy as np

from features_picture import picture

FOLDER = pathlib.Path(__file__).parents[2] / "crates/fvc-features/tests/golden"


def blocks_of(padded):
    h, w = padded.shape
    return padded.reshape(h // 8, 8, w // 8, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def features(rgb):
    grey8 = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height, width = grey8.shape
    grey = grey8.astype(np.float64)
    out = {}

    kernel = np.full((3, 3), -1.0)
    kernel[1, 1] = 8.0
    r2 = cv2.filter2D(grey, cv2.CV_64F, kernel) ** 2
    out["noise_energy"] = np.sqrt(r2.mean())  # ours: root mean square
    out["noise_mean"] = r2.mean()
    out["noise_std"] = r2.std()

    padded = np.pad(grey, ((0, -height % 8), (0, -width % 8)), mode="edge")
    spectra = np.stack([cv2.dct(block) for block in blocks_of(padded)])
    dc = spectra[:, 0, 0]
    ac = spectra.reshape(len(spectra), 64)[:, 1:]  # ours: the 63, not 64 with a zero
    out["dct_dc_mean"], out["dct_dc_std"] = dc.mean(), dc.std()
    out["dct_ac_mean"], out["dct_ac_std"] = ac.mean(), ac.std()
    out["dct_ac_energy"] = (ac**2).mean()  # ours: mean, not sum

    out["laplacian_var"] = cv2.Laplacian(grey8, cv2.CV_64F).var()
    sx = cv2.Sobel(grey8, cv2.CV_64F, 1, 0, ksize=3)
    sy = cv2.Sobel(grey8, cv2.CV_64F, 0, 1, ksize=3)
    magnitude = np.sqrt(sx**2 + sy**2)
    out["gradient_mean"], out["gradient_std"] = magnitude.mean(), magnitude.std()

    # ours: steps across borders against steps inside
    right, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    right_border = np.arange(width - 1) % 8 == 7
    down_border = np.arange(height - 1) % 8 == 7
    across = np.concatenate([right[:, right_border].ravel(), down[down_border].ravel()])
    inside = np.concatenate([right[:, ~right_border].ravel(), down[~down_border].ravel()])
    out["boundary_inconsistency"] = across.mean() - inside.mean() if across.size else None

    out["edge_density"] = np.count_nonzero(cv2.Canny(grey8, 50, 150)) / grey8.size
    box = cv2.blur(grey, (5, 5))
    out["texture_uniformity"] = 1.0 / (1.0 + box.std())
    for channel, name in enumerate("rgb"):
        out[f"color_consistency_{name}"] = rgb[:, :, channel].std()

    # ours: signed differences, every whole block, divided by their number
    whole = grey[: height // 8 * 8, : width // 8 * 8]
    if whole.size:
        blocks = blocks_of(whole)
        steps = np.abs(np.diff(blocks, axis=2)).mean((1, 2)) + np.abs(np.diff(blocks, axis=1)).mean((1, 2))
        out["compression_artifacts"] = steps.mean()
    else:
        out["compression_artifacts"] = None
    return {name: None if value is None else float(value) for name, value in out.items()}


PICTURES = [
    (kind, width, height, seed)
    for kind in ("scene", "static", "blocks")
    for width, height, seed in [
        (224, 126, 1), (126, 224, 2), (97, 61, 3), (64, 48, 4), (17, 33, 5), (9, 8, 6), (8, 9, 7),
        (8, 8, 8), (7, 7, 9), (3, 5, 10), (2, 2, 11), (1, 9, 12), (9, 1, 13), (2, 1, 14), (1, 1, 15),
        (1, 40, 16), (40, 1, 17), (2, 3, 18),
    ]
] + [("flat", 64, 48, seed) for seed in (0, 1, 3, 5)] + [("scene", 1280, 720, 1), ("scene", 2500, 30, 2)]


def grey_sums():
    """Sum of the grey levels and variance of their Laplacian over all green x blue, for each red."""
    levels = np.arange(256, dtype=np.uint8)
    green, blue = np.meshgrid(levels, levels, indexing="ij")
    rows = []
    for red in range(256):
        rgb = np.ascontiguousarray(np.dstack([np.full_like(green, red), green, blue]))
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        rows.append([int(grey.astype(np.int64).sum()), float(cv2.Laplacian(grey, cv2.CV_64F).var())])
    return rows


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    versions = {"opencv": cv2.__version__, "numpy": np.__version__}
    rows = [
        {"kind": k, "width": w, "height": h, "seed": s, "values": features(picture(k, w, h, s))}
        for k, w, h, s in PICTURES
    ]
    text = ",\n".join(json.dumps(row) for row in rows)
    (FOLDER / "values.json").write_text(f'{{"made_with": {json.dumps(versions)}, "pictures": [\n{text}\n]}}\n')
    text = ",\n".join(json.dumps(row) for row in grey_sums())
    (FOLDER / "grey.json").write_text(f'{{"made_with": {json.dumps(versions)}, "by_red": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
