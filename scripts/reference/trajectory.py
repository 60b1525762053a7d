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
0, 1, 2, ...; the top-level lists are in float64, those under "float32" in float32.
"curvature" has a product with the Hessian at the initial weights:

    {"gd": [...], "gdm_damped": [...], "gdm_undamped": [...], "float32": {...},
     "curvature": {"vHv": ..., "norm": ...}, ...}

--norm is the run's -norm: none, batch (over all images, which must be one chunk) or weights. The
gains of the branches are used where they are stored, as with -init=skipinit.
"""

import argparse
import json
import math
import platform
import re
import sys

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]  # of CIFAR-10


VGG19 = [(1, 2), (2, 2), (4, 4), (8, 4), (8, 4)]  # of each stage: channels / width, convolutions


def vgg19(width):
    """Each convolution of VGG-19 as (name, name of its norm, channels out, last of its stage)."""
    for i, (times, convs) in enumerate(VGG19, start=1):
        for j in range(1, convs + 1):
            name, norm = f"stage{i}/conv{j}", f"stage{i}/norm{j}"
            if i == j == 1:
                name, norm = "stem", "stem/norm"
            yield name, norm, times * width, j == convs


def stages(model, width):
    """The (width, stride) of each stage of two blocks, and whether blocks are pre-activated."""
    if model == "resnet18":
        return [(width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)], False
    if m := re.fullmatch(r"wrn16-([1-9]\d*)", model):
        k = int(m[1])
        return [(width * k, 1), (2 * width * k, 2), (4 * width * k, 2)], True
    raise ValueError(f"model {model!r}: want resnet18, vgg19 or wrn16-K with K ≥ 1")


def blocks(model, width):
    """Each residual block as (name, channels in, channels out, stride)."""
    channels = width  # of the stem's output
    for i, (out, stride) in enumerate(stages(model, width)[0], start=1):
        yield f"stage{i}/block1", channels, out, stride
        yield f"stage{i}/block2", out, out, 1
        channels = out


def shapes(model, width, classes, norm, branch_gains):
    """Name to shape of every parameter as stored: convolutions HWIO, head [in, classes]."""
    s = {}

    def conv(name, size, cin, cout, norm_name):
        s[f"{name}/weights"] = (size, size, cin, cout)
        if norm == "weights":
            s[f"{name}/gain"] = (cout,)
        if norm != "batch":
            s[f"{name}/biases"] = (cout,)
        elif norm_name:
            s[f"{norm_name}/scale"] = s[f"{norm_name}/offset"] = (cout,)

    if model == "vgg19":
        cin = 3
        for name, norm_name, cout, _ in vgg19(width):
            conv(name, 3, cin, cout, norm_name)
            cin = cout
    else:
        preactivated = stages(model, width)[1]
        conv("stem", 3, 3, width, "" if preactivated else "stem/norm")
        for name, cin, cout, stride in blocks(model, width):
            if preactivated and norm == "batch":
                s[f"{name}/norm1/scale"] = s[f"{name}/norm1/offset"] = (cin,)
            conv(f"{name}/conv1", 3, cin, cout, f"{name}/norm{2 if preactivated else 1}")
            conv(f"{name}/conv2", 3, cout, cout, "" if preactivated else f"{name}/norm2")
            if cin != cout or stride != 1:
                conv(f"{name}/shortcut", 1, cin, cout, "" if preactivated else f"{name}/norm3")
            if branch_gains:
                s[f"{name}/gain"] = (1,)
        if preactivated and norm == "batch":
            s["norm/scale"] = s["norm/offset"] = (cout,)
    s["head/weights"], s["head/biases"] = (cout, classes), (classes,)
    return s


def from_stored(stored, dtype):
    """The stored parameters as PyTorch wants them: convolutions OIHW."""
    return {
        name: (w.permute(3, 2, 0, 1) if w.dim() == 4 else w).to(dtype).contiguous()
        for name, w in stored.items()
    }


def standardize(w, after_relu):
    """Scaled weight standardization of w [out, in, k, k] (Brock et al., 2021, equation 2).

    Every output channel gets mean 0 and variance 1/fan-in, times 2/(1 − 1/π) after a ReLU.
    """
    fan_in = w[0].numel()
    variance, mean = torch.var_mean(w, dim=(1, 2, 3), correction=0, keepdim=True)
    w = (w - mean) * torch.rsqrt(torch.clamp(variance * fan_in, min=1e-4))
    return w * math.sqrt(2 / (1 - 1 / math.pi)) if after_relu else w


def forward(p, x, model, width):
    """Images x [n, 3, 32, 32] to logits [n, classes]; p holds the parameters by name."""

    def conv(name, x, stride=1, norm_name=""):
        w = p[f"{name}/weights"]
        if f"{name}/gain" in p:
            w = standardize(w, name != "stem") * p[f"{name}/gain"].view(-1, 1, 1, 1)
        y = F.conv2d(x, w, p.get(f"{name}/biases"), stride=stride, padding=w.shape[2] // 2)
        return norm(norm_name, y)

    def norm(name, x):
        if f"{name}/scale" not in p:
            return x
        scale, offset = p[f"{name}/scale"], p[f"{name}/offset"]
        return F.batch_norm(x, None, None, scale, offset, training=True, eps=1e-5)

    if model == "vgg19":
        for name, norm_name, _, last in vgg19(width):
            x = F.relu(conv(name, x, 1, norm_name))
            x = F.max_pool2d(x, 2) if last else x
        return x.mean(dim=(2, 3)) @ p["head/weights"] + p["head/biases"]

    preactivated = stages(model, width)[1]
    x = conv("stem", x, 1, "stem/norm")
    if not preactivated:
        x = F.relu(x)
    for name, _, _, stride in blocks(model, width):
        first, second = ("norm2", "") if preactivated else ("norm1", "norm2")
        h = F.relu(norm(f"{name}/norm1", x)) if preactivated else x
        # A pre-activated block passes the raw x on, but projects the activated one.
        shortcut = x
        if f"{name}/shortcut/weights" in p:
            shortcut = conv(f"{name}/shortcut", h, stride, "" if preactivated else f"{name}/norm3")
        h = F.relu(conv(f"{name}/conv1", h, stride, f"{name}/{first}"))
        h = conv(f"{name}/conv2", h, 1, second and f"{name}/{second}")
        h = h * p.get(f"{name}/gain", 1)
        x = h + shortcut if preactivated else F.relu(h + shortcut)
    if preactivated:
        x = F.relu(norm("norm", x))
    return x.mean(dim=(2, 3)) @ p["head/weights"] + p["head/biases"]


def normalized(images, mean, std, dtype):
    """uint8 [n, 32, 32, 3] to [n, 3, 32, 32]: (pixel/255 - mean) / std, per channel."""
    x = images.to(dtype) / 255 - torch.tensor(mean, dtype=dtype)
    return (x / torch.tensor(std, dtype=dtype)).permute(0, 3, 1, 2)


def loss_and_gradient(p, images, labels, mean, std, model, width, chunk):
    """The mean cross-entropy L over all N images and ∇L, exact for any chunk size."""
    n, dtype = len(images), p["head/biases"].dtype
    w = {name: v.clone().requires_grad_() for name, v in p.items()}
    total = 0.0
    for i in range(0, n, chunk):
        logits = forward(w, normalized(images[i : i + chunk], mean, std, dtype), model, width)
        loss = F.cross_entropy(logits, labels[i : i + chunk], reduction="sum") / n
        loss.backward()  # .grad adds up over the chunks
        total += loss.item()
    return total, {name: v.grad for name, v in w.items()}


def curvature(stored, images, labels, mean, std, model, width):
    """vᵀHv and ‖Hv‖, H the Hessian of the mean loss in float64 at the stored parameters.

    The values of v for each parameter are sin(0), sin(1), sin(2), ... in the order of storage.
    """
    count = {name: torch.arange(w.numel(), dtype=torch.float64) for name, w in stored.items()}
    v = {name: torch.sin(count[name]).reshape(w.shape) for name, w in stored.items()}
    v = from_stored(v, torch.float64)
    w = {n: x.requires_grad_() for n, x in from_stored(stored, torch.float64).items()}
    x = normalized(images, mean, std, torch.float64)
    loss = F.cross_entropy(forward(w, x, model, width), labels)
    gradient = torch.autograd.grad(loss, list(w.values()), create_graph=True)
    slope = sum((g * v[name]).sum() for g, name in zip(gradient, w))
    product = dict(zip(w, torch.autograd.grad(slope, list(w.values()))))
    return {
        "vHv": sum((v[name] * h).sum().item() for name, h in product.items()),
        "norm": math.sqrt(sum((h**2).sum().item() for h in product.values())),
    }


def descend(p, loss_and_gradient, steps, rate, momentum, form, decay, clip):
    """The losses at the weights before each of the steps.

    If clip > 0, ∇L ← ∇L · min(1, clip/‖∇L‖), with the norm of all parameters together.
    Then ∇L ← ∇L + λ w, on every parameter, then with g = b = 0 at the start
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
        if clip > 0:
            norm = math.sqrt(sum((v**2).sum().item() for v in gradient.values()))
            gradient = {name: v * min(1, clip / norm) for name, v in gradient.items()}
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


def read_weights(path, model, width, classes, norm):
    """The stored parameters; refuses any name or shape that the model does not have."""
    stored = safetensors.torch.load_file(path)
    all_shapes = shapes(model, width, classes, norm, "stage1/block1/gain" in stored)
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
    a.add_argument("--model", default="resnet18", help="resnet18, vgg19 or wrn16-K")
    a.add_argument("--norm", default="none", choices=["none", "batch", "weights"])
    a.add_argument("--width", type=int, required=True, help="channels of the stem")
    a.add_argument("--classes", type=int, default=10)
    a.add_argument("--mean", type=float, nargs=3, default=MEAN, help="per channel, of [0, 1]")
    a.add_argument("--std", type=float, nargs=3, default=STD, help="per channel, of [0, 1]")
    a.add_argument("--rate", type=float, required=True, help="η, the same for all three")
    a.add_argument("--momentum", type=float, required=True, help="γ")
    a.add_argument("--weight-decay", type=float, default=0, help="λ")
    a.add_argument("--clip", type=float, default=0, help="the largest norm of ∇L; 0: any")
    a.add_argument("--steps", type=int, default=10)
    a.add_argument("--chunk", type=int, default=64, help="images per call; changes only rounding")
    o = a.parse_args()

    try:
        stored = read_weights(o.weights, o.model, o.width, o.classes, o.norm)
        images, labels = read_images(o.images, o.labels, o.classes)
    except (OSError, ValueError, safetensors.SafetensorError) as err:
        sys.exit(f"trajectory: {err}")

    # oneDNN's gradient of a convolution of few channels crashes or hangs in torch 2.15.0.
    torch.backends.mkldnn.set_flags(False)
    torch.set_num_threads(1)

    def losses(dtype, form):
        def evaluate(p):
            return loss_and_gradient(p, images, labels, o.mean, o.std, o.model, o.width, o.chunk)

        p = from_stored(stored, dtype)
        return descend(p, evaluate, o.steps, o.rate, o.momentum, form, o.weight_decay, o.clip)

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
        "curvature": curvature(stored, images, labels, o.mean, o.std, o.model, o.width),
        "settings": settings | {"n": len(labels)},
        "versions": versions,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
