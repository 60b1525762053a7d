#!/usr/bin/env python3
"""Times one exact full-batch GD+M step in PyTorch, on synthetic images.

    pip install torch numpy safetensors
    python scripts/bench/bench_torch.py --model resnet18 --width 16 --chunk 32 --images 128
    python scripts/bench/bench_torch.py --matmul 2048

Prints one line of JSON: images/s (or GFLOP/s) of each timed step, and the last loss,
which bench_jax.py must agree with (same weights, images and labels, drawn by numpy).

The images lie on the device as uint8 and are normalized there; activations and weights
are channels-last. bf16 uses autocast: weights, gradient sums and loss stay f32.
--compile uses torch.compile, which needs a C++ compiler on a CPU.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import arguments

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from trajectory import forward, from_stored, shapes

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
RATE, MOMENTUM = 0.002, 0.9  # undamped; small enough for any width here


def initial(model, width, rng):
    """He normal weights, zero biases; a branch's last convolution is scaled by 0.3."""
    stored = {}
    for name, shape in shapes(model, width, 10, "none", False).items():
        if name.endswith("/biases"):
            stored[name] = torch.zeros(shape)
            continue
        std = (0.3 if "/conv2/" in name else 1.0) * np.sqrt(2 / np.prod(shape[:-1]))
        stored[name] = torch.from_numpy((std * rng.standard_normal(shape)).astype(np.float32))
    return from_stored(stored, torch.float32)


def bench_step(o, device):
    rng = np.random.default_rng(0)
    params = {}
    for name, w in initial(o.model, o.width, rng).items():
        layout = torch.channels_last if w.dim() == 4 else torch.contiguous_format
        params[name] = w.to(device, memory_format=layout).requires_grad_()
    images = torch.from_numpy(rng.integers(0, 256, (o.images, 32, 32, 3), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, 10, o.images, dtype=np.int32))
    images, labels = images.to(device), labels.long().to(device)
    mean, std = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
    # PyTorch's momentum is the undamped form: b ← γ b + ∇L;  w ← w − η b.
    optimizer = torch.optim.SGD(params.values(), lr=RATE, momentum=MOMENTUM, foreach=True)

    def summed_loss(images, labels):
        x = ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)  # a channels-last view
        with torch.autocast(device, dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
            logits = forward(params, x, o.model, o.width)
        return F.cross_entropy(logits.float(), labels, reduction="sum")

    if o.compile:
        summed_loss = torch.compile(summed_loss, dynamic=False)  # a shorter last chunk compiles too

    def step():
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=device)
        for i in range(0, o.images, o.chunk):
            loss = summed_loss(images[i : i + o.chunk], labels[i : i + o.chunk]) / o.images
            loss.backward()
            total += loss.detach()
        optimizer.step()
        return total

    rates = []
    for i in range(o.warmup + o.steps):
        begin = time.perf_counter()
        loss = step().item()
        if device == "cuda":
            torch.cuda.synchronize()  # the loss is ready before the update is
        if i >= o.warmup:
            rates.append(round(o.images / (time.perf_counter() - begin), 2))
    result = {"compile": o.compile, "images_per_s": rates, "loss": loss}
    return arguments.settings(o) | result


def bench_matmul(o, device):
    a = np.random.default_rng(0).standard_normal((o.matmul, o.matmul), dtype=np.float32)
    a, rates = torch.from_numpy(a).to(device), []
    for i in range(o.warmup + o.steps):
        begin = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= o.warmup:
            rates.append(round(2 * o.matmul**3 / (time.perf_counter() - begin) / 1e9, 2))
    return {"matmul": o.matmul, "dtype": "f32", "gflop_per_s": rates}


def main():
    a = arguments.parser(__doc__)
    a.add_argument("--compile", action="store_true", help="torch.compile the loss")
    o = a.parse_args()

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # all available cores, as XLA does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    result = bench_matmul(o, device) if o.matmul else bench_step(o, device)
    host = {
        "who": "torch",
        "version": torch.__version__,
        "device": device,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(host | result))


if __name__ == "__main__":
    main()
