#!/usr/bin/env python3
"""Times one exact full-batch GD+M step in JAX, on synthetic images.

    pip install jax numpy
    python scripts/bench/bench_jax.py --model resnet18 --width 16 --chunk 32 --images 128
    python scripts/bench/bench_jax.py --matmul 2048

Prints one line of JSON: images/s (or GFLOP/s) of each timed step, and the last loss,
which bench_torch.py must agree with (same weights, images and labels, drawn by numpy).

The images lie on the device as uint8 and are normalized there. Weights, sums and loss are
always float32. A loop on the host calls one jitted chunk step with donated accumulators,
then one update. --loop selects one of two other forms. On XLA's CPU backend, unrolled
takes about 10% more processor time and one compiled copy per chunk, and scan is more than
10 times slower (convolutions inside a While miss the fast path).
"""

import functools
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import arguments

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
RATE, MOMENTUM = 0.002, 0.9  # undamped; small enough for any width here


def blocks(model, width):
    """Each residual block as (name, channels in, channels out, stride)."""
    widths = {
        "resnet18": [width, 2 * width, 4 * width, 8 * width],
        "wrn16-1": [width, 2 * width, 4 * width],
        "wrn16-4": [4 * width, 8 * width, 16 * width],
    }[model]
    cin = width
    for i, cout in enumerate(widths, start=1):
        yield f"stage{i}/block1", cin, cout, 1 if i == 1 else 2
        yield f"stage{i}/block2", cout, cout, 1
        cin = cout


def initial(model, width, rng):
    """He normal weights, HWIO, zero biases; a branch's last convolution is scaled by 0.3."""
    p = {}

    def layer(name, *shape, gain=1.0):
        std = gain * np.sqrt(2 / np.prod(shape[:-1]))
        p[f"{name}/weights"] = (std * rng.standard_normal(shape)).astype(np.float32)
        p[f"{name}/biases"] = np.zeros(shape[-1], np.float32)

    layer("stem", 3, 3, 3, width)
    for name, cin, cout, stride in blocks(model, width):
        layer(f"{name}/conv1", 3, 3, cin, cout)
        layer(f"{name}/conv2", 3, 3, cout, cout, gain=0.3)
        if cin != cout or stride != 1:
            layer(f"{name}/shortcut", 1, 1, cin, cout)
    layer("head", cout, 10)
    return p


def forward(p, x, model, width):
    """Images x [n, 32, 32, 3] to logits [n, 10]."""

    def conv(name, x, stride=1):
        w = p[f"{name}/weights"]
        pad = w.shape[0] // 2
        padding, layout = ((pad, pad), (pad, pad)), ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=layout)
        return y + p[f"{name}/biases"]

    preactivated = model.startswith("wrn")
    x = conv("stem", x)
    if not preactivated:
        x = jax.nn.relu(x)
    for name, _, _, stride in blocks(model, width):
        h = jax.nn.relu(x) if preactivated else x
        shortcut = conv(f"{name}/shortcut", h, stride) if f"{name}/shortcut/weights" in p else x
        h = conv(f"{name}/conv2", jax.nn.relu(conv(f"{name}/conv1", h, stride)))
        x = h + shortcut if preactivated else jax.nn.relu(h + shortcut)
    if preactivated:
        x = jax.nn.relu(x)
    return x.mean(axis=(1, 2)) @ p["head/weights"] + p["head/biases"]


def step_function(o):
    """A step (params, momentum, sums, images, labels) → (params, momentum, sums, mean loss)."""
    dtype = {"f32": jnp.float32, "bf16": jnp.bfloat16}[o.dtype]

    def summed_loss(p, images, labels):
        x = ((images.astype(jnp.float32) / 255 - jnp.array(MEAN)) / jnp.array(STD)).astype(dtype)
        p = jax.tree.map(lambda w: w.astype(dtype), p)  # the weights themselves stay f32
        logp = jax.nn.log_softmax(forward(p, x, o.model, o.width).astype(jnp.float32))
        return -jnp.take_along_axis(logp, labels[:, None], axis=1).sum()

    def add_chunk(sums, params, images, labels, start, size):
        """sums + (loss, gradient) summed over the images [start, start+size)."""
        x = lax.dynamic_slice_in_dim(images, start, size)
        y = lax.dynamic_slice_in_dim(labels, start, size)
        return jax.tree.map(jnp.add, sums, jax.value_and_grad(summed_loss)(params, x, y))

    def update(params, momentum, sums):
        """b ← γ b + ∇L;  w ← w − η b"""
        loss, gradient = jax.tree.map(lambda s: s / o.images, sums)
        momentum = jax.tree.map(lambda b, g: MOMENTUM * b + g, momentum, gradient)
        params = jax.tree.map(lambda w, b: w - RATE * b, params, momentum)
        return params, momentum, jax.tree.map(jnp.zeros_like, sums), loss

    starts = [(i, min(o.chunk, o.images - i)) for i in range(0, o.images, o.chunk)]

    def host():
        add = jax.jit(add_chunk, static_argnums=5, donate_argnums=0)
        finish = jax.jit(update, donate_argnums=(0, 1, 2))

        def step(params, momentum, sums, images, labels):
            for start, size in starts:
                sums = add(sums, params, images, labels, start, size)
            return finish(params, momentum, sums)

        return step

    def unrolled():
        @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(params, momentum, sums, images, labels):
            for start, size in starts:
                sums = add_chunk(sums, params, images, labels, start, size)
            return update(params, momentum, sums)

        return step

    def scan():
        if o.images % o.chunk:
            raise SystemExit(
                f"bench_jax: --loop scan: {o.images} images are not a multiple of --chunk {o.chunk}"
            )

        @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(params, momentum, sums, images, labels):
            def body(sums, start):
                return add_chunk(sums, params, images, labels, start, o.chunk), None

            sums, _ = lax.scan(body, sums, jnp.arange(0, o.images, o.chunk))
            return update(params, momentum, sums)

        return step

    return {"host": host, "unrolled": unrolled, "scan": scan}[o.loop]()


def bench_step(o):
    rng = np.random.default_rng(0)
    params = jax.tree.map(jnp.asarray, initial(o.model, o.width, rng))
    images = jnp.asarray(rng.integers(0, 256, (o.images, 32, 32, 3), dtype=np.uint8))
    labels = jnp.asarray(rng.integers(0, 10, o.images, dtype=np.int32))
    momentum = jax.tree.map(jnp.zeros_like, params)
    sums = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))

    step, rates = step_function(o), []
    for i in range(o.warmup + o.steps):
        begin = time.perf_counter()
        state = step(params, momentum, sums, images, labels)
        params, momentum, sums, loss = jax.block_until_ready(state)
        if i >= o.warmup:
            rates.append(round(o.images / (time.perf_counter() - begin), 2))
    result = {"loop": o.loop, "images_per_s": rates, "loss": float(loss)}
    return arguments.settings(o) | result


def bench_matmul(o):
    a = np.random.default_rng(0).standard_normal((o.matmul, o.matmul), dtype=np.float32)
    a = jnp.asarray(a)
    multiply, rates = jax.jit(jnp.matmul), []
    for i in range(o.warmup + o.steps):
        begin = time.perf_counter()
        multiply(a, a).block_until_ready()
        if i >= o.warmup:
            rates.append(round(2 * o.matmul**3 / (time.perf_counter() - begin) / 1e9, 2))
    return {"matmul": o.matmul, "dtype": "f32", "gflop_per_s": rates}


def main():
    a = arguments.parser(__doc__)
    a.add_argument(
        "--loop", choices=["host", "unrolled", "scan"], default="host", help="loop over the chunks"
    )
    o = a.parse_args()

    result = bench_matmul(o) if o.matmul else bench_step(o)
    host = {
        "who": "jax",
        "version": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "threads": len(os.sched_getaffinity(0)),  # XLA's CPU client uses all of them
    }
    print(json.dumps(host | result))


if __name__ == "__main__":
    main()
