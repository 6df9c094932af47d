"""The time of one training step of PyTorch, for tools/bench-training-step.

    python3 tools/golden/training_step.py MODEL FRAMES ROWS COLUMNS BATCH PRECISION ROUNDS [forward]

Needs torch (and timm for vit_gru). Prints one line of JSON: the median of the rounds in seconds and the
peak resident memory. Clips lie channels-last, and bf16 runs under autocast, as is best for PyTorch here.
"""

import json
import resource
import sys
import time

import torch
from torch import nn


class Inception3d(nn.Module):
    """Four convolutions side by side, batch normalisation, ReLU."""

    def __init__(self, channels, out):
        super().__init__()
        quarter = out // 4
        self.branch1 = nn.Conv3d(channels, quarter, 1)
        self.branch3 = nn.Conv3d(channels, quarter, 3, padding=1)
        self.branch5 = nn.Conv3d(channels, quarter, 5, padding=2)
        self.pool = nn.MaxPool3d(3, 1, 1)
        self.branch_pool = nn.Conv3d(channels, quarter, 1)
        self.norm = nn.BatchNorm3d(out)

    def forward(self, clip):
        parts = [self.branch1(clip), self.branch3(clip), self.branch5(clip), self.branch_pool(self.pool(clip))]
        return torch.relu(self.norm(torch.cat(parts, 1)))


class VariableArCnn(nn.Module):
    """Stem, two blocks, mean, one logit."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 32, 3, padding=1)
        self.stem_norm = nn.BatchNorm3d(32)
        self.inception1 = Inception3d(32, 64)
        self.inception2 = Inception3d(64, 128)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(128, 1)

    def forward(self, clip):
        clip = torch.relu(self.stem_norm(self.stem(clip)))
        clip = self.inception2(self.inception1(clip))
        return self.head(self.dropout(clip.mean((2, 3, 4))))


class VitGru(nn.Module):
    """ViT-B/16 on each frame, two layers of gated recurrent units."""

    def __init__(self):
        super().__init__()
        import timm

        self.backbone = timm.create_model("vit_base_patch16_224", pretrained=False, num_classes=0)
        self.gru = nn.GRU(768, 256, 2, batch_first=True)
        self.head = nn.Linear(256, 1)

    def forward(self, clip):
        batch, channels, frames, rows, columns = clip.shape
        pictures = clip.permute(0, 2, 1, 3, 4).reshape(batch * frames, channels, rows, columns)
        vectors = self.backbone(pictures).reshape(batch, frames, -1)
        return self.head(self.gru(vectors)[0][:, -1])


def main():
    """Measures what the command line names."""
    model, *numbers = sys.argv[1:]
    frames, rows, columns, batch = (int(number) for number in numbers[:4])
    precision, rounds = numbers[4], int(numbers[5])
    forward_only = numbers[6:] == ["forward"]
    torch.manual_seed(1)
    network = {"variable_ar_cnn": VariableArCnn, "vit_gru": VitGru}[model]()
    if model == "variable_ar_cnn":
        network = network.to(memory_format=torch.channels_last_3d)
    clip = torch.randn(batch, 3, frames, rows, columns)
    if model == "variable_ar_cnn":
        clip = clip.to(memory_format=torch.channels_last_3d)
    labels = torch.tensor([float(at % 2) for at in range(batch)])
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    network.train(not forward_only)
    seconds = []
    for step in range(rounds + 1):
        start = time.perf_counter()
        if forward_only:
            with torch.inference_mode(), autocast:
                network(clip)
        else:
            with autocast:
                logits = network(clip)
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float()[:, 0], labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if step > 0:
            seconds.append(time.perf_counter() - start)
    seconds.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"model": model, "seconds": seconds[len(seconds) // 2], "peak_mib": peak}))


main()
