"""Writes crates/fvc-nn/tests/golden/networks.json: what PyTorch and timm make of the networks of fvc-nn, and beside it small files of
weights as PyTorch writes them (PyTorch 2.15, timm 1.0.31: pip install torch torchvision timm safetensors).

Weights and inputs come from one formula of a name and a counter, which the tests compute too, so that only results are written. Results
are computed in double precision, so that a difference is an error of ours."""

import json
import math
import pathlib
import sys

import numpy
import torch
import timm.layers
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "crates/fvc-nn/tests/golden"
SEED_STEP = 0x9E3779B97F4A7C15


def uniform(name, count):
    """`CounterRandom::from_bits(FNV-1a of the name).uniform(0..count)`."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    with numpy.errstate(over="ignore"):
        bits = numpy.uint64(key) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(SEED_STEP)
        bits = (bits ^ (bits >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> numpy.uint64(31))
    return (bits >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(2**24)


def both_signs(name, shape, bound):
    """Numbers evenly between minus and plus `bound`, in f32."""
    count = math.prod(shape)
    one, two = numpy.float32(1), numpy.float32(2)
    return ((two * uniform(name, count) - one) * numpy.float32(bound)).reshape(shape)


def weight(name, shape):
    """The value of a parameter or running statistic."""
    if name.endswith(("cls_token", "pos_embed")):
        return both_signs(name, shape, 0.02)
    if len(shape) >= 2:
        return both_signs(name, shape, math.sqrt(3.0 / math.prod(shape[1:])))
    if name.endswith("running_var"):
        return numpy.float32(1) + numpy.float32(0.5) * uniform(name, math.prod(shape))
    if name.endswith("weight"):
        return numpy.float32(1) + both_signs(name, shape, 0.1)
    return both_signs(name, shape, 0.1)


def clips(name, shape):
    """Clips [batch, frames, rows, columns, 3] of unit variance."""
    return torch.from_numpy(both_signs(name, shape, math.sqrt(3.0)))


def cut(clips, sizes):
    """Each clip of a padded batch alone, channels first."""
    return [clips[n : n + 1, :t, :h, :w].permute(0, 4, 1, 2, 3) for n, (t, h, w) in enumerate(sizes)]


def norm_of_all(norm, clips):
    """A batch normalisation over all positions of clips of different sizes, then ReLU."""
    flat = torch.cat([clip.flatten(2) for clip in clips], 2)
    flat = functional.batch_norm(
        flat, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )
    parts = functional.relu(flat).split([clip[0, 0].numel() for clip in clips], 2)
    return [part.reshape(clip.shape) for part, clip in zip(parts, clips)]


class Inception(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.branch1 = nn.Conv3d(width, out // 4, 1)
        self.branch3 = nn.Conv3d(width, out // 4, 3, padding=1)
        self.branch5 = nn.Conv3d(width, out // 4, 5, padding=2)
        self.branch_pool = nn.Conv3d(width, out // 4, 1)
        self.norm = nn.BatchNorm3d(out)

    def branches(self, clip):
        pooled = functional.max_pool3d(clip, 3, stride=1, padding=1)
        return torch.cat([self.branch1(clip), self.branch3(clip), self.branch5(clip), self.branch_pool(pooled)], 1)

    def forward(self, clip):
        return functional.relu(self.norm(self.branches(clip)))


class VariableArCnn(nn.Module):
    def __init__(self, widths=(32, 64, 128), stem_stride=(1, 1, 1), dropout=0.5):
        super().__init__()
        self.stem = nn.Conv3d(3, widths[0], 3, stride=tuple(stem_stride), padding=1)
        self.stem_norm = nn.BatchNorm3d(widths[0])
        self.inception1 = Inception(widths[0], widths[1])
        self.inception2 = Inception(widths[1], widths[2])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[2], 1)

    def forward(self, clips, sizes=None):
        if sizes is None:
            clip = functional.relu(self.stem_norm(self.stem(clips.permute(0, 4, 1, 2, 3))))
            features = self.inception2(self.inception1(clip)).mean((2, 3, 4))
        else:
            alone = norm_of_all(self.stem_norm, [self.stem(clip) for clip in cut(clips, sizes)])
            for block in [self.inception1, self.inception2]:
                alone = norm_of_all(block.norm, [block.branches(clip) for clip in alone])
            features = torch.cat([clip.mean((2, 3, 4)) for clip in alone])
        return self.head(self.dropout(features))


class NaiveCnn(nn.Module):
    def __init__(self, widths=(32, 64, 128), hidden=64, dropout=0.5):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, widths[0], 3, padding=1), nn.BatchNorm2d(widths[0])
        self.conv2, self.norm2 = nn.Conv2d(widths[0], widths[1], 3, padding=1), nn.BatchNorm2d(widths[1])
        self.conv3, self.norm3 = nn.Conv2d(widths[1], widths[2], 3, padding=1), nn.BatchNorm2d(widths[2])
        self.hidden = nn.Linear(widths[2], hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 2)

    def forward(self, clips, sizes=None):
        if sizes is None:
            frames = [clips.shape[1]] * len(clips)
            pictures = clips.flatten(0, 1).permute(0, 3, 1, 2)
            pictures = functional.max_pool2d(functional.relu(self.norm1(self.conv1(pictures))), 2)
            pictures = functional.max_pool2d(functional.relu(self.norm2(self.conv2(pictures))), 2)
            features = functional.relu(self.norm3(self.conv3(pictures))).mean((2, 3))
        else:
            frames = [size[0] for size in sizes]
            alone = [clip[0].transpose(0, 1) for clip in cut(clips, sizes)]
            for conv, norm, last in [(self.conv1, self.norm1, 0), (self.conv2, self.norm2, 0), (self.conv3, self.norm3, 1)]:
                alone = norm_of_all(norm, [conv(own).transpose(0, 1)[None] for own in alone])
                alone = [own[0].transpose(0, 1) for own in alone]
                alone = alone if last else [functional.max_pool2d(own, 2) for own in alone]
            features = torch.cat([own.mean((2, 3)) for own in alone])
        logits = self.head(self.dropout(functional.relu(self.hidden(features))))
        return torch.stack([own.mean(0) for own in logits.split(frames)])


def backbone(image=224, patch=16, width=768, depth=12, heads=12):
    """timm's `vit_base_patch16_224` by default."""
    return VisionTransformer(
        img_size=image, patch_size=patch, embed_dim=width, depth=depth, num_heads=heads, num_classes=0, global_pool="token"
    )


def frame_vectors(network, clips):
    batch, frames = clips.shape[:2]
    return network(clips.flatten(0, 1).permute(0, 3, 1, 2)).reshape(batch, frames, -1)


class VitGru(nn.Module):
    def __init__(self, backbone_sizes=None, hidden=256, layers=2, dropout=0.5):
        super().__init__()
        self.backbone = backbone(**(backbone_sizes or {}))
        self.gru = nn.GRU(self.backbone.embed_dim, hidden, layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)

    def forward(self, clips, sizes=None):
        vectors = frame_vectors(self.backbone, clips)
        if sizes is not None:
            frames = torch.tensor([size[0] for size in sizes])
            vectors = nn.utils.rnn.pack_padded_sequence(vectors, frames, batch_first=True, enforce_sorted=False)
        _, state = self.gru(vectors)
        return self.head(self.dropout(state[-1]))


class VitTransformer(nn.Module):
    def __init__(self, backbone_sizes=None, feed_forward=2048, layers=2, heads=8, dropout=0.5, positions=True):
        super().__init__()
        self.backbone = backbone(**(backbone_sizes or {}))
        layer = nn.TransformerEncoderLayer(self.backbone.embed_dim, heads, feed_forward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.embed_dim, 1)
        self.positions = positions

    def forward(self, clips, sizes=None):
        vectors = frame_vectors(self.backbone, clips)
        _, frames, width = vectors.shape
        if self.positions:
            rate = 10_000 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
            angle = torch.arange(frames, dtype=torch.float64)[:, None] * rate
            vectors = vectors + torch.stack([angle.sin(), angle.cos()], 2).flatten(1).to(vectors)
        lengths = torch.tensor([size[0] for size in sizes] if sizes is not None else [frames] * len(vectors))
        valid = torch.arange(frames)[None] < lengths[:, None]
        encoded = self.encoder(vectors, src_key_padding_mask=~valid)
        mean = (encoded * valid[:, :, None]).sum(1) / lengths[:, None]
        return self.head(self.dropout(mean))


KINDS = {
    "variable_ar_cnn": VariableArCnn,
    "naive_cnn": NaiveCnn,
    "vit_gru": VitGru,
    "vit_transformer": VitTransformer,
}


def make(config):
    """The twin of a configuration, with the formula's weights in double precision."""
    settings = {key: value for key, value in config.items() if key != "architecture"}
    if "backbone" in settings:
        settings["backbone_sizes"] = settings.pop("backbone")
    network = KINDS[config["architecture"]](**settings)
    state = {
        name: torch.from_numpy(weight(name, tuple(value.shape)))
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    return network.double()


def short(values):
    """Numbers with the digits that f32 has."""
    return [float(f"{value:.9g}") for value in torch.as_tensor(values, dtype=torch.float64).flatten().tolist()]


def digest(name, values):
    """The shape, the norm, the product with numbers of the formula and sixteen values of an array."""
    values = values.detach()
    flat = values.flatten().double()
    count = len(flat)
    taken = [at * count // min(16, count) for at in range(min(16, count))]
    probe = torch.from_numpy(both_signs(f"probe.{name}", (count,), 1.0)).double()
    return {
        "shape": list(values.shape),
        "norm": short(flat.norm())[0],
        "probe": short(flat @ probe)[0],
        "values": short(flat[taken]),
    }


def log_odds(outputs):
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]


LABELS = [0.0, 1.0, 1.0]
WEIGHTS = [1.0, 0.5, 2.0]


def weighted_loss(outputs):
    losses = functional.binary_cross_entropy_with_logits(log_odds(outputs), torch.tensor(LABELS).double(), reduction="none")
    return (losses * torch.tensor(WEIGHTS).double()).sum()


def bf16_turn(config, shape, sizes, exact):
    """1 less the cosine between the gradients of PyTorch's autocast to bf16 and the exact ones: what the format itself costs."""
    network = make(config).float().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(clips("input", shape), sizes)
    weighted_loss(outputs.double()).backward()
    low = torch.cat([value.grad.flatten().double() for value in network.parameters()])
    return 1 - functional.cosine_similarity(low, exact, 0).item()


def case(name, config, shape, sizes=None):
    """Outputs, loss, gradients and running statistics of a small network."""
    config = config | {"dropout": 0.0}
    network = make(config)
    one = clips("input", shape).double()
    network.eval()
    with torch.no_grad():
        evaluated = network(one, sizes)
    network.train()
    trained = network(one, sizes)
    loss = weighted_loss(trained)
    loss.backward()
    result = {
        "name": name,
        "config": config,
        "shape": shape,
        "sizes": sizes or [shape[1:4]] * shape[0],
        "evaluation": short(evaluated),
        "training": short(trained),
        "loss": short(loss)[0],
        "gradients": {own: digest(own, value.grad) for own, value in network.named_parameters()},
    }
    exact = torch.cat([value.grad.flatten() for value in network.parameters()])
    result["bf16_turn"] = float(f"{bf16_turn(config, shape, sizes, exact):.3g}")
    # The pass above was the first of three steps; the others are over other clips.
    with torch.no_grad():
        for step in ["input.1", "input.2"]:
            network(clips(step, shape).double(), sizes)
    result["running"] = {own: short(value) for own, value in network.named_buffers() if "running" in own}
    return result


def optimizer_case(config):
    """Parameters after five steps of AdamW, whose gradients are the formula's."""
    network = make(config)
    settings = {"backbone_learning_rate": 1e-3, "head_learning_rate": 1e-2, "weight_decay": 0.05}
    groups = {}
    for name, value in network.named_parameters():
        rate = settings["backbone_learning_rate" if name.startswith("backbone.") else "head_learning_rate"]
        decays = value.ndim > 1 and not name.endswith(("cls_token", "pos_embed"))
        groups.setdefault((rate, settings["weight_decay"] if decays else 0.0), []).append(value)
    optimizer = torch.optim.AdamW([{"params": own, "lr": rate, "weight_decay": decay} for (rate, decay), own in groups.items()])
    warmup, steps = 2, 6
    rates = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup),
        ],
        milestones=[warmup],
    )
    first = optimizer.param_groups[0]
    factors = []
    for step in range(5):
        factors.append(first["lr"] / first["initial_lr"])
        for name, value in network.named_parameters():
            value.grad = torch.from_numpy(both_signs(f"gradient.{step}.{name}", tuple(value.shape), 1.0)).double()
        optimizer.step()
        rates.step()
    return {
        "config": config,
        "settings": settings,
        "warmup_steps": warmup,
        "steps": steps,
        "factors": short(factors),
        "parameters": {name: digest(name, value) for name, value in network.named_parameters()},
    }


def whole(config, shape):
    """Parameters and outputs of a network of the default size."""
    network = make(config).eval()
    count = sum(value.numel() for value in network.parameters())
    with torch.no_grad():
        outputs = network(clips("input", shape).double())
    return {"config": config, "shape": shape, "parameters": count, "evaluation": short(outputs)}


def positions_case(side, new):
    """timm's position embeddings for another grid, as it makes them when it loads weights."""
    values = torch.from_numpy(both_signs(f"positions.{side}", (1, side * side + 1, 6), 1.0))
    resampled = timm.layers.resample_abs_pos_embed(values, [new, new], [side, side])
    return {"side": side, "new": new, "values": short(resampled)}


class Code:
    """What a pickle runs when Python reads it."""

    def __reduce__(self):
        return (print, ("run by a pickle",))


def write_files():
    """A tiny network's weights as PyTorch's users keep them, and a file that would run something."""
    network = make(TINY).float()
    state = network.state_dict()
    torch.save(state, GOLDEN / "tiny.pt")
    torch.save({"epoch": 3, "state_dict": state, "arch": "naive_cnn"}, GOLDEN / "tiny_wrapped.pth")
    save_file({name: value.contiguous() for name, value in state.items()}, GOLDEN / "tiny.safetensors")
    torch.save({"head.weight": torch.zeros(2, 3), "code": Code()}, GOLDEN / "code.pt")
    numbers = torch.arange(6.0).reshape(2, 3)
    views = {"plain": nn.Parameter(numbers), "turned": numbers.t(), "part": numbers[:, 1:]}
    formats = {"f64": numbers.double(), "f16": numbers.half(), "bf16": numbers.bfloat16(), "count": torch.arange(3)}
    odd = {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}
    torch.save(views | formats | odd, GOLDEN / "views.pt")
    # As PyTorch did before version 1.6, and as older weights of timm and torchvision still are.
    torch.save({"model": views | formats | odd}, GOLDEN / "views_legacy.pth", _use_new_zipfile_serialization=False)


BACKBONE = {"image": 16, "patch": 8, "width": 24, "depth": 2, "heads": 3}
TINY = {"architecture": "naive_cnn", "widths": [2, 3, 4], "hidden": 3, "dropout": 0.0}
GRU = {"architecture": "vit_gru", "backbone": BACKBONE, "hidden": 10, "layers": 2}
ENCODER = {"architecture": "vit_transformer", "backbone": BACKBONE, "feed_forward": 20, "layers": 2, "heads": 4}
NAIVE = {"architecture": "naive_cnn", "widths": [4, 6, 8], "hidden": 5}
RAGGED = [[2, 7, 12], [5, 12, 6], [3, 9, 9]]
SHORTER = [[4, 16, 16], [2, 16, 16], [3, 16, 16]]
CNN = {"architecture": "variable_ar_cnn", "widths": [4, 8, 12]}


def main():
    torch.manual_seed(0)
    GOLDEN.mkdir(exist_ok=True)
    write_files()
    result = {
        "torch": torch.__version__.split("+")[0],
        "timm": timm.__version__,
        "labels": LABELS,
        "weights": WEIGHTS,
        "cases": [
            case("variable_ar_cnn", CNN, [3, 4, 9, 10, 3]),
            case("variable_ar_cnn, stem of step 2", CNN | {"stem_stride": [1, 2, 2]}, [3, 3, 11, 14, 3]),
            case("variable_ar_cnn, padded", CNN, [3, 5, 12, 12, 3], RAGGED),
            case("variable_ar_cnn, padded, stem of step 2", CNN | {"stem_stride": [1, 2, 2]}, [3, 5, 12, 12, 3], RAGGED),
            case("naive_cnn", NAIVE, [3, 3, 9, 14, 3]),
            case("naive_cnn, padded", NAIVE, [3, 5, 12, 12, 3], RAGGED),
            case("vit_gru", GRU, [3, 3, 16, 16, 3]),
            case("vit_gru, padded", GRU | {"layers": 1}, [3, 4, 16, 16, 3], SHORTER),
            case("vit_transformer", ENCODER, [3, 3, 16, 16, 3]),
            case("vit_transformer, padded, no positions", ENCODER | {"layers": 1, "positions": False}, [3, 4, 16, 16, 3], SHORTER),
        ],
        "optimizer": optimizer_case(GRU | {"dropout": 0.0}),
        "positions": [positions_case(4, 7), positions_case(7, 4), positions_case(3, 4)],
        "whole": [
            whole({"architecture": "variable_ar_cnn"}, [1, 8, 24, 24, 3]),
            whole({"architecture": "naive_cnn"}, [1, 8, 24, 24, 3]),
        ]
        + ([] if "--without-vits" in sys.argv else [
            whole({"architecture": "vit_gru"}, [1, 2, 224, 224, 3]),
            whole({"architecture": "vit_transformer"}, [1, 2, 224, 224, 3]),
        ]),
    }
    (GOLDEN / "networks.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
