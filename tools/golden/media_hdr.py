"""Golden values of HDR to SDR, for crates/fvc-media/tests/it/color.rs.

Writes crates/fvc-media/tests/golden/hdr.json. The ST 2084 and BT.2100 curves and the colour spaces
are colour-science's; the EETF is written out from ITU-R BT.2390-10, section 5.4. In f64, without
tables.

    python tools/golden/media_hdr.py     (needs numpy and colour-science)
"""

import json
from pathlib import Path

import colour
import numpy as np

PEAK, WHITE = 1000.0, 203.0


def eetf(light):
    pq = colour.models.eotf_inverse_ST2084
    top = pq(PEAK)
    signal, white = np.clip(pq(light) / top, 0, 1), pq(WHITE) / top
    knee = 1.5 * white - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * white
    )
    return colour.models.eotf_ST2084(np.where(signal < knee, signal, spline) * top)


def to_sdr(codes, transfer):
    """10-bit limited-range Y'CbCr of BT.2020 to 8-bit R'G'B' of BT.709, not rounded."""
    y, u, v = codes.T.astype(float)
    y, u, v = (y - 64) / 876, (u - 512) / 896, (v - 512) / 896
    red, blue = y + 2 * (1 - 0.2627) * v, y + 2 * (1 - 0.0593) * u
    green = (y - 0.2627 * red - 0.0593 * blue) / 0.6780
    signal = np.clip(np.stack([red, green, blue], axis=1), 0, 1)
    if transfer == "pq":
        light = np.minimum(colour.models.eotf_ST2084(signal), PEAK)
    else:
        light = np.minimum(colour.models.eotf_BT2100_HLG(signal, L_B=0, L_W=PEAK), PEAK)
    mapped = np.clip(eetf(light) / WHITE, 0, 1)
    spaces = colour.RGB_COLOURSPACES
    narrow = colour.RGB_to_RGB(
        mapped, spaces["ITU-R BT.2020"], spaces["ITU-R BT.709"], chromatic_adaptation_transform=None
    )
    return 255 * np.clip(narrow, 0, 1) ** (1 / 2.4)


def main():
    draw = np.random.default_rng(7)
    grey = np.array([[y, 512, 512] for y in range(64, 941, 12)])
    deep = np.array([[y, 512, 512] for y in range(64, 130, 3)])
    color = np.stack(
        [draw.integers(64, 941, 300), draw.integers(400, 625, 300), draw.integers(400, 625, 300)], axis=1
    )
    codes = np.concatenate([grey, deep, color])
    made = {
        transfer: [[round(value, 3) for value in row] for row in to_sdr(codes, transfer).tolist()]
        for transfer in ("pq", "hlg")
    }
    path = Path(__file__).parents[2] / "crates/fvc-media/tests/golden/hdr.json"
    path.write_text(json.dumps({"codes": codes.tolist(), **made}, separators=(",", ":")) + "\n")


main()
