#!/usr/bin/env python3
"""Recomputes the first full-batch losses of a run in PyTorch, from the definition.

It shares no code with the Go program. It reads the initial weights and the images of a
run, and computes three descents from them, each in float64 and in float32.

    pip install torch numpy safetensors
    python scripts/reference/trajectory.py --weights RUN/initial.safetensors \
        --model resnet18 --width 16 --images images.bin --labels labels.bin \
        --rate 0.02 --momentum 0.9 > trajectory.json

images.bin is uint8 [N, 32, 32, 3] (RGB), labels.bin uint8 [N], both without a header.
Each output list holds the mean loss over all N images at the weights before steps
0, 1, 2, ...; the top-level lists are in float64, those under "float32" in float32:

    {"gd": [...], "gdm_damped": [...], "gdm_undamped": [...], "float32": {...}, ...}

It supports networks without normalization only (-norm=none).
"""

import argparse
import json
import platform
import re
import sys

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]  # of CIFAR-10


def stages(model, width):
    """The (width, stride) of each stage of two blocks, and whether blocks are pre-activated."""
    if model == "resnet18":
        return [(width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)], False
    if m := re.fullmatch(r"wrn16-([1-9]\d*)", model):
        k = int(m[1])
        return [(width * k, 1), (2 * width * k, 2), (4 * width * k, 2)], True
    raise ValueError(f"model {model!r}: want resnet18 or wrn16-K with K ≥ 1, such as wrn16-4")


def blocks(model, width):
    """Each residual block as (name, channels in, channels out, stride)."""
    channels = width  # of the stem's output
    for i, (out, stride) in enumerate(stages(model, width)[0], start=1):
        yield f"stage{i}/block1", channels, out, stride
        yield f"stage{i}/block2", out, out, 1
        channels = out


def shapes(model, width, classes):
    """Name to shape of every parameter as stored: convolutions HWIO, head [in, classes]."""
    s = {}

    def layer(name, *weights):
        s[f"{name}/weights"], s[f"{name}/biases"] = weights, weights[-1:]

    layer("stem", 3, 3, 3, width)
    for name, cin, cout, stride in blocks(model, width):
        layer(f"{name}/conv1", 3, 3, cin, cout)
        layer(f"{name}/conv2", 3, 3, cout, cout)
        if cin != cout or stride != 1:
            layer(f"{name}/shortcut", 1, 1, cin, cout)
    layer("head", cout, classes)
    return s


def from_stored(stored, dtype):
    """The stored parameters as PyTorch wants them: convolutions OIHW."""
    return {
        name: (w.permute(3, 2, 0, 1) if w.dim() == 4 else w).to(dtype).contiguous()
        for name, w in stored.items()
    }


def forward(p, x, model, width):
    """Images x [n, 3, 32, 32] to logits [n, classes]; p holds the parameters by name."""

    def conv(name, x, stride=1):
        w = p[f"{name}/weights"]
        return F.conv2d(x, w, p[f"{name}/biases"], stride=stride, padding=w.shape[2] // 2)

    preactivated = stages(model, width)[1]
    x = conv("stem", x)
    if not preactivated:
        x = F.relu(x)
    for name, _, _, stride in blocks(model, width):
        h = F.relu(x) if preactivated else x
        # A pre-activated block passes the raw x on, but projects the activated one.
        shortcut = conv(f"{name}/shortcut", h, stride) if f"{name}/shortcut/weights" in p else x
        h = conv(f"{name}/conv2", F.relu(conv(f"{name}/conv1", h, stride)))
        x = h + shortcut if preactivated else F.relu(h + shortcut)
    if preactivated:
        x = F.relu(x)
    return x.mean(dim=(2, 3)) @ p["head/weights"] + p["head/biases"]


def loss_and_gradient(p, images, labels, mean, std, model, width, chunk):
    """The mean cross-entropy L over all N images and ∇L, exact for any chunk size."""
    n, dtype = len(images), p["head/biases"].dtype
    mean = torch.tensor(mean, dtype=dtype)
    std = torch.tensor(std, dtype=dtype)
    w = {name: v.clone().requires_grad_() for name, v in p.items()}
    total = 0.0
    for i in range(0, n, chunk):
        x = (images[i : i + chunk].to(dtype) / 255 - mean) / std  # [c, 32, 32, 3]
        logits = forward(w, x.permute(0, 3, 1, 2), model, width)
        loss = F.cross_entropy(logits, labels[i : i + chunk], reduction="sum") / n
        loss.backward()  # .grad adds up over the chunks
        total += loss.item()
    return total, {name: v.grad for name, v in w.items()}


def descend(p, loss_and_gradient, steps, rate, momentum, form, decay):
    """The losses at the weights before each of the steps.

    ∇L ← ∇L + λ w, on every parameter, then with g = b = 0 at the start
        gd        w ← w − η ∇L
        damped    g ← γ g + (1−γ) ∇L;  w ← w − η g
        undamped  b ← γ b + ∇L;        w ← w − η b
    """
    keep, new = {"gd": (0, 1), "damped": (momentum, 1 - momentum), "undamped": (momentum, 1)}[form]
    g = {name: torch.zeros_like(w) for name, w in p.items()}
    losses = []
    for _ in range(steps):
        loss, gradient = loss_and_gradient(p)
        losses.append(loss)
        g = {name: keep * g[name] + new * (gradient[name] + decay * w) for name, w in p.items()}
        p = {name: w - rate * g[name] for name, w in p.items()}
    return losses


def read_images(images, labels, classes):
    """The raw files as uint8 [N, 32, 32, 3] and int64 [N]."""
    x, y = np.fromfile(images, np.uint8), np.fromfile(labels, np.uint8)
    if len(y) == 0:
        raise ValueError(f"{labels}: no labels")
    if x.size != len(y) * 32 * 32 * 3:
        raise ValueError(f"{images}: {x.size} bytes, want 3072 for each of the {len(y)} labels")
    if y.max() >= classes:
        raise ValueError(f"{labels}: label {y.max()}, want less than {classes}")
    return torch.from_numpy(x.reshape(-1, 32, 32, 3)), torch.from_numpy(y).long()


def read_weights(path, model, width, classes):
    """The stored parameters; refuses any name or shape that the model does not have."""
    stored = safetensors.torch.load_file(path)
    all_shapes = shapes(model, width, classes)
    for name in sorted(all_shapes.keys() | stored.keys()):
        got = tuple(stored[name].shape) if name in stored else "nothing"
        want = all_shapes.get(name, "nothing")
        if got != want:
            raise ValueError(f"{path}: {name}: {got}, want {want} for {model} of width {width}")
    return stored


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--weights", required=True, help="initial.safetensors of the run")
    a.add_argument("--images", required=True, help="uint8 [N, 32, 32, 3]")
    a.add_argument("--labels", required=True, help="uint8 [N]")
    a.add_argument("--model", default="resnet18", help="resnet18 or wrn16-K")
    a.add_argument("--width", type=int, required=True, help="channels of the stem")
    a.add_argument("--classes", type=int, default=10)
    a.add_argument("--mean", type=float, nargs=3, default=MEAN, help="per channel, of [0, 1]")
    a.add_argument("--std", type=float, nargs=3, default=STD, help="per channel, of [0, 1]")
    a.add_argument("--rate", type=float, required=True, help="η, the same for all three")
    a.add_argument("--momentum", type=float, required=True, help="γ")
    a.add_argument("--weight-decay", type=float, default=0, help="λ")
    a.add_argument("--steps", type=int, default=10)
    a.add_argument("--chunk", type=int, default=64, help="images per call; changes only rounding")
    o = a.parse_args()

    try:
        stored = read_weights(o.weights, o.model, o.width, o.classes)
        images, labels = read_images(o.images, o.labels, o.classes)
    except (OSError, ValueError, safetensors.SafetensorError) as err:
        sys.exit(f"trajectory: {err}")

    def losses(dtype, form):
        def evaluate(p):
            return loss_and_gradient(p, images, labels, o.mean, o.std, o.model, o.width, o.chunk)

        p = from_stored(stored, dtype)
        return descend(p, evaluate, o.steps, o.rate, o.momentum, form, o.weight_decay)

    def trajectories(dtype):
        return {
            "gd": losses(dtype, "gd"),
            "gdm_damped": losses(dtype, "damped"),
            "gdm_undamped": losses(dtype, "undamped"),
        }

    left_out = ("weights", "images", "labels", "chunk")
    settings = {k: v for k, v in vars(o).items() if k not in left_out}
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
    result = trajectories(torch.float64) | {
        "float32": trajectories(torch.float32),
        "settings": settings | {"n": len(labels)},
        "versions": versions,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
