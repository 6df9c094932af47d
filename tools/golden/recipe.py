"""Writes crates/fvc-nn/tests/golden/recipe.json: what PyTorch and torchvision make of the parts of a training's recipe: losses with their
gradients, the schedule of the learning rate, and shortened gradients under AdamW with two groups (PyTorch 2.15: pip install torch torchvision).

    python3 tools/golden/recipe.py

Parameters and gradients come from the formula of networks.py, for the names and shapes of its small `vit_gru`. Results are computed in
double precision, so that a difference is an error of ours.

Where PyTorch means something else, the case says what is compared:
- the smoothing of labels is `cross_entropy`'s on two logits, of which the first is 0;
- `pos_weight` of `binary_cross_entropy_with_logits` weighs fakes; ours weighs every clip, here by its class;
- torchvision's focal loss takes the probability of a smoothed label, ours that of the label itself: without smoothing both are one;
- `clip_grad_norm_` adds 1e-6 to the norm that it divides by, ours does not: a part in a million of a norm of 1."""

import json
import math
import pathlib

import numpy
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "crates/fvc-nn/tests/golden"
SEED_STEP = 0x9E3779B97F4A7C15
# Large ones too, where a probability is 0 or 1 in single precision, and 0, where a clip of nothing but zeros is.
LOG_ODDS = [0.0, -0.0, 0.3, -0.7, 2.5, -3.0, 9.0, -8.5, 40.0, -35.0, 150.0, -200.0]


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
    """Numbers evenly between minus and plus `bound`, in double precision."""
    count = int(numpy.prod(shape))
    one, two = numpy.float32(1), numpy.float32(2)
    values = (two * uniform(name, count) - one) * numpy.float32(bound)
    return torch.from_numpy(values.astype(numpy.float64).reshape(shape))


def loss(name, settings, weights, compute):
    """One loss at every log odds with either label: its values and gradients."""
    z = torch.tensor(LOG_ODDS * 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0.0] * len(LOG_ODDS) + [1.0] * len(LOG_ODDS), dtype=torch.float64)
    values = compute(z, labels)
    values.sum().backward()
    return {
        "name": name,
        "loss": settings,
        "weights": [weights[int(label)] for label in labels],
        "log_odds": z.tolist(),
        "labels": labels.tolist(),
        "values": values.tolist(),
        # Where a probability underflows, PyTorch's gradient of its power is not a number; the limit is 0.
        "gradients": [0.0 if math.isnan(own) else own for own in z.grad.tolist()],
    }


def losses():
    """All losses."""
    plain = {"kind": "binary_cross_entropy", "focal_gamma": 2.0, "label_smoothing": 0.0, "focal_alpha": None}

    def smoothed(z, labels, share):
        both = torch.stack([torch.zeros_like(z), z], 1)
        return functional.cross_entropy(both, labels.long(), label_smoothing=share, reduction="none")

    def weighted(z, labels):
        return functional.binary_cross_entropy_with_logits(z, labels, pos_weight=torch.tensor(3.5, dtype=torch.float64), reduction="none")

    found = [
        loss("cross-entropy", plain, [1.0, 1.0], lambda z, labels: functional.binary_cross_entropy_with_logits(z, labels, reduction="none")),
        loss("cross-entropy weighted by class", plain, [1.0, 3.5], weighted),
    ]
    for share in [0.1, 0.3]:
        settings = dict(plain, label_smoothing=share)
        found.append(loss(f"smoothed by {share}", settings, [1.0, 1.0], lambda z, labels: smoothed(z, labels, share)))
    for gamma, alpha in [(2.0, None), (2.0, 0.25), (1.5, 0.75), (5.0, None), (0.5, None), (0.0, 0.25), (0.0, None)]:
        settings = dict(plain, kind="focal", focal_gamma=gamma, focal_alpha=alpha)

        def focal(z, labels):
            return sigmoid_focal_loss(z, labels, alpha=-1 if alpha is None else alpha, gamma=gamma)

        found.append(loss(f"focal, gamma {gamma}, alpha {alpha}", settings, [1.0, 1.0], focal))
    return found


def schedule(warmup, steps, last):
    """The factors of all steps and of the one behind the last."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler
    cosine = scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=last) if warmup < steps else None
    if warmup > 1:
        linear = scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        whole = scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[warmup])
    elif warmup == 1:
        # LinearLR cannot have 0 steps from its first factor to its last: of one step the factor is 1.
        linear = scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)
        whole = scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[warmup])
    else:
        whole = cosine
    factors = []
    for _ in range(steps + 1):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        whole.step()
    return {"warmup_steps": warmup, "steps": steps, "last_share": last, "factors": factors}


def clipped():
    """Steps of AdamW on shortened gradients: every parameter's sum and its product with the formula's numbers."""
    cases = json.loads((GOLDEN / "networks.json").read_text())["cases"]
    small = next(case for case in cases if case["name"] == "vit_gru")
    shapes = {name: own["shape"] for name, own in small["gradients"].items()}
    parameters = {name: torch.nn.Parameter(both_signs(f"recipe.{name}", shape, 0.5)) for name, shape in shapes.items()}
    rates, decay, limit, epsilon = {True: 2e-3, False: 3e-2}, 0.1, 2.5, 1e-2
    groups = {}
    for name, parameter in parameters.items():
        weight = parameter.dim() > 1 and not name.endswith(("cls_token", "pos_embed"))
        groups.setdefault((name.startswith("backbone."), weight), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": own, "lr": rates[backbone], "weight_decay": decay if weight else 0.0} for (backbone, weight), own in groups.items()],
        eps=epsilon,
    )
    # The first and the third are longer than the limit, the second is not.
    bounds, norms = [1.0, 0.01, 0.2], []
    for step, bound in enumerate(bounds):
        for name, parameter in parameters.items():
            parameter.grad = both_signs(f"recipe.gradient.{step}.{name}", shapes[name], bound)
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters.values(), limit)))
        optimizer.step()
    moved = {}
    for name, parameter in parameters.items():
        values = parameter.detach().flatten()
        # Every value counts: the product with other numbers, and the length.
        probe = both_signs(f"probe.{name}", [values.numel()], 1.0)
        moved[name] = {"shape": shapes[name], "norm": float(values.norm()), "probe": float(values @ probe), "first": values[:4].tolist()}
    return {
        "config": small["config"],
        "backbone_learning_rate": rates[True],
        "head_learning_rate": rates[False],
        "weight_decay": decay,
        "epsilon": epsilon,
        "limit": limit,
        "bounds": bounds,
        "norms": norms,
        "parameters": moved,
    }


def main():
    """Writes the file."""
    schedules = [schedule(5, 20, 0.01), schedule(2, 9, 0.0), schedule(1, 7, 0.1), schedule(0, 12, 0.05), schedule(19, 20, 0.01)]
    found = {"losses": losses(), "schedules": schedules, "clipped": clipped()}
    text = json.dumps(found, indent=None, separators=(",", ":"))
    (GOLDEN / "recipe.json").write_text(text + "\n")


main()
