"""Golden values of the forensic features that share a definition with the field, by OpenCV and NumPy.

    python tools/golden/features_forensic.py > crates/fvc-features/tests/golden/forensic.json

Written as the definitions read, in double precision, whole arrays: Immerkaer's noise kernel and its moments, the
block DCT, spectra with Hann's window, steps on and off the coding grids, spikes of the frame difference.
"""
import json

import cv2
import numpy as np

from features_picture import picture

KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


def side_of(width, height):
    return int(np.clip(-(-(min(width, height) // 16) // 8) * 8, 16, 64))


def cells(array, side):
    rows, columns = array.shape[0] // side, array.shape[1] // side
    cut = array[: rows * side, : columns * side]
    return cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side, side)


def measure_frame(rgb, side):
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float64)
    noise = cv2.filter2D(grey, -1, KERNEL, borderType=cv2.BORDER_REFLECT_101)
    n, g = cells(noise, side), cells(grey, side)
    area = side * side
    below = cells(np.vstack([grey[1:], grey[-2:-1]]), side)
    gradient = (np.abs(np.diff(g, axis=2)).sum((1, 2)) + np.abs(below - g).sum((1, 2))) / area
    red, blue = (cells(rgb[..., c].astype(np.float64) - rgb[..., 1], side)[:, ::4] for c in (0, 2))
    bend = lambda d: np.abs(d[..., :-4] - 2 * d[..., 2:-2] + d[..., 4:]).sum((1, 2)) * 4 / area
    return dict(
        grey=grey,
        noise=np.sqrt(np.pi / 2) / 6 * np.abs(n).mean((1, 2)),
        tails=np.abs(n).mean((1, 2)) / np.sqrt((n**2).mean((1, 2))),
        correlation=(n[..., :-1] * n[..., 1:]).sum((1, 2)) / (n**2).sum((1, 2)),
        contrast=g.std((1, 2)),
        gradient=gradient,
        chroma=bend(red) + bend(blue),
        red=red.mean((1, 2)).mean(),
        blue=blue.mean((1, 2)).mean(),
        residue=n,
    )


def spectrum(greys):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(64) + 0.5) / 64)
    power = np.zeros(33)
    for grey in greys:
        height, width = grey.shape
        for line in range(16):
            row, column = grey[(2 * line + 1) * height // 32], grey[:, (2 * line + 1) * width // 32]
            for samples in (row, column):
                for start in range(0, len(samples) - 63, 64):
                    part = samples[start : start + 64]
                    power += np.abs(np.fft.rfft((part - part.mean()) * window)) ** 2
    share = power / power.sum()
    slope = np.polyfit(np.log(np.arange(2, 25)), np.log(share[2:25] + 1e-9), 1)[0]
    return slope, np.log((share[20:31].mean() + 1e-9) / (share[4:11].mean() + 1e-9))


def dct(greys):
    bands, digits, histograms = np.zeros(3), np.zeros(9), np.zeros((3, 24))
    order = np.add.outer(np.arange(8), np.arange(8))
    for grey in greys:
        height, width = grey.shape
        for top in range(0, height - 7, 32):
            for left in range(0, width - 7, 8):
                spectrum = cv2.dct(grey[top : top + 8, left : left + 8])
                spectrum[0, 0] = 0
                for band, inside in enumerate((order <= 3, (order > 3) & (order <= 7), order > 7)):
                    bands[band] += (spectrum[inside] ** 2).sum()
                levels = np.floor(np.abs(spectrum) + 0.5).astype(int)
                for value in levels[(order <= 4) & (order > 0)]:
                    if value:
                        digits[int(str(value)[0]) - 1] += 1
                for histogram, place in zip(histograms, ((0, 1), (1, 0), (1, 1))):
                    if levels[place] < 24:
                        histogram[levels[place]] += 1
    benford = np.log10(1 + 1 / np.arange(1, 10))
    bends = np.abs(histograms[:, 1:-2] - 2 * histograms[:, 2:-1] + histograms[:, 3:]).sum()
    return dict(
        dct_high_band=np.log(bands[2] / bands[0]),
        dct_middle_band=np.log(bands[1] / bands[0]),
        dct_first_digits=((digits / digits.sum() - benford) ** 2 / benford).sum(),
        dct_gaps=bends / histograms[:, 2:-1].sum(),
    )


def grids(greys):
    sums, counts = np.zeros((2, 16)), np.zeros((2, 16))
    for grey in greys:
        down, right = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey[::4], axis=1))
        for steps, way, axis in ((down, 0, 1), (right, 1, 0)):
            line = steps.sum(axis)
            np.add.at(sums[way], np.arange(len(line)) % 16, line)
            np.add.at(counts[way], np.arange(len(line)) % 16, steps.shape[axis])
    phases = np.arange(16)

    def ratio(at, others):
        mean = lambda of: sums[:, of].sum(1) / counts[:, of].sum(1)
        return np.log((mean(at) + 0.05) / (mean(others) + 0.05)).mean()

    return dict(
        grid_8=ratio(phases % 8 == 7, phases % 8 != 7),
        grid_16=ratio(phases == 15, phases == 7),
        grid_8_elsewhere=max(ratio(phases % 8 == own, (phases % 8 != own) & (phases % 8 != 7)) for own in range(7)),
    )


def spike(greys, side):
    reduction = side // 8
    height, width = (length // side * side for length in greys[0].shape)
    thumbnails = []
    for grey in greys:
        small = cells(grey[:height, :width], reduction).sum((1, 2)).reshape(height // reduction, width // reduction)
        small = (small + reduction**2 // 2) // reduction**2
        thumbnails.append(cells(small, 2).sum((1, 2)) / 4)
    steps = np.array([np.abs(a - b).mean() for a, b in zip(thumbnails, thumbnails[1:])])
    found = []
    for at in range(len(steps)):
        near = np.delete(steps[max(at - 3, 0) : at + 4], at - max(at - 3, 0))
        found.append(np.log((steps[at] + 0.4) / (np.median(near) + 0.4)))
    return max(found)


def measure(frames, side):
    rows = [measure_frame(rgb, side) for rgb in frames]
    over = lambda value: np.median(np.concatenate([value(row) for row in rows]))
    greys = [row["grey"] for row in rows]
    slope, high = spectrum(greys[::4])
    rank = lambda values, share: np.sort(values)[int((len(values) - 1) * share + 0.5)]
    spread = lambda name: np.subtract(*(rank([row[name] for row in rows], share) for share in (0.9, 0.1)))
    return dict(
        noise_tails=over(lambda row: row["tails"]),
        noise_correlation=over(lambda row: row["correlation"]),
        sharpness=over(lambda row: np.log((row["noise"] + 0.05) / (row["gradient"] + 0.2))),
        edge_width=over(lambda row: np.log((row["contrast"] + 0.5) / (row["gradient"] + 0.2))),
        chroma_sharpness=over(lambda row: np.log((row["chroma"] + 0.1) / (row["gradient"] + 0.2))),
        white_drift=max(spread("red"), spread("blue")),
        spectrum_slope=slope,
        spectrum_high_band=high,
        difference_spike=spike(greys, side),
        **dct(greys[::4]),
        **grids(greys),
    )


def main():
    cv2.setNumThreads(1)
    clips = []
    for kind, width, height, count in (("scene", 128, 96, 9), ("scene", 320, 180, 8), ("static", 96, 128, 8), ("scene", 512, 400, 6)):
        frames = [picture(kind, width, height, seed) for seed in range(count)]
        values = {name: float(value) for name, value in measure(frames, side_of(width, height)).items()}
        clips.append(dict(kind=kind, width=width, height=height, frames=count, values=values))
    print(json.dumps({"clips": clips}, indent=1))


if __name__ == "__main__":
    main()
