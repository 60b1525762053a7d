#!/usr/bin/env python3
r"""Times full-batch GD+M steps of the paper's cubic network on its distribution D in JAX.

    python scripts/bench/synthetic_jax.py [--blocks N] DATA N SMALL P D M S STEPS \
        ALPHA BETA ETA GAMMA

go run ./scripts/bench -synthetic draws DATA and runs this script. S settings train at once from the
same weights; setting s of 1 to S has rate ETA·s/S and damped momentum GAMMA. STEPS steps warm up,
and the next STEPS are timed. The output is one line of JSON: steps × settings per second, and the
final loss of each setting, in which all contenders must agree.

Without --blocks the code follows the definition: automatic differentiation of the mean logistic
loss of f(X) = Σ_r Σ_j ⟨w_r, X_j⟩³ on X [N, P, D], vmap over settings, fori_loop over steps. With
--blocks it has the data layout and the gradient of momentum/internal/cubic, in blocks of about that
many noise patches, so that only the backend differs between the two.

DATA holds f32 numbers: labels y [N], sizes of the signals [N] (the first SMALL samples have a small
margin), positions of the signal patch [N], the noise patches [N, P−1, D], the feature w* [D] and
the initial weights [M, D].
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SIZES = ["samples", "small_margin", "patches", "dim", "neurons", "settings", "steps"]
RATES = ["alpha", "beta", "eta", "gamma"]


def read(o):
    """Labels, signals, positions, noise, feature, weights."""
    n, p, d, m = o.samples, o.patches, o.dim, o.neurons
    shapes = [(n,), (n,), (n,), (n, p - 1, d), (d,), (m, d)]
    flat = np.fromfile(o.data, np.float32)
    ends = np.cumsum([np.prod(s) for s in shapes])
    if len(flat) != ends[-1]:
        raise SystemExit(f"synthetic_jax: {o.data}: want {ends[-1]} numbers, got {len(flat)}")
    return [part.reshape(s) for part, s in zip(np.split(flat, ends[:-1]), shapes)]


def plain(o, y, signal, position, noise, feature):
    """The data, the mean loss of weights [S, M, D] and its gradient, by the definition."""
    x = np.zeros((o.samples, o.patches, o.dim), np.float32)
    is_signal = np.arange(o.patches) == position[:, None]  # [N, P]
    x[is_signal] = signal[:, None] * feature
    x[~is_signal] = noise.reshape(-1, o.dim)

    def loss(w, data):
        x, y = data
        f = (jnp.einsum("npd,md->npm", x, w) ** 3).sum((1, 2))
        return jax.nn.softplus(-y * f).mean()

    over_settings = (0, None)
    return (x, y), jax.vmap(loss, over_settings), jax.vmap(jax.grad(loss), over_settings)


def blocked(o, y, signal, position, noise, feature):
    """The same, by hand."""
    q, lanes, m, d = o.patches - 1, o.settings, o.neurons, o.dim
    per = max(1, o.blocks // q)
    folded = noise * y[:, None, None]  # [N, q, d]
    # For each block: the size of the signals [n], the noise [d, q·n], in which patch j of sample i
    # is column j·n + i, and its transpose.
    size = np.where(np.arange(o.samples) < o.small_margin, o.beta, o.alpha).astype(np.float32)
    blocks = []
    for i in range(0, o.samples, per):
        rows = folded[i : i + per].transpose(1, 0, 2).reshape(-1, d)
        blocks.append((size[i : i + per], rows.T.copy(), rows))

    def margins(w, c, x):
        """Margins y f [S, n] of a block and products z [S, M, q, n]."""
        z = (w.reshape(lanes * m, d) @ x).reshape(lanes, m, q, -1)
        from_signal = ((w @ feature) ** 3).sum(1)[:, None] * c**3
        return from_signal + (z**3).sum((1, 2)), z

    def losses(w, data):
        return sum(jax.nn.softplus(-margins(w, c, x)[0]).sum(1) for c, x, _ in data) / o.samples

    def gradient(w, data):
        noise_sum, ells = jnp.zeros_like(w), {}  # c³ ℓ, summed over blocks of each size
        for c, x, rows in data:
            f, z = margins(w, c, x)
            ell = jax.nn.sigmoid(-f)  # [S, n]
            a = (3 * z * z * ell[:, None, None, :]).reshape(lanes * m, -1)
            noise_sum += (a @ rows).reshape(w.shape)
            ells[len(c)] = ells.get(len(c), 0) + c**3 * ell
        signal_sum = sum(e.sum(1) for e in ells.values())
        along = 3 * (w @ feature) ** 2 * signal_sum[:, None]  # [S, M]
        return -(noise_sum + along[:, :, None] * feature) / o.samples

    return blocks, losses, gradient


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--blocks", type=int, help="noise patches of a block")
    a.add_argument("data")
    for name in SIZES:
        a.add_argument(name, type=int)
    for name in RATES:
        a.add_argument(name, type=float)
    o = a.parse_args()

    *arrays, first = read(o)
    data, losses, gradient = (blocked if o.blocks else plain)(o, *arrays)
    data = jax.tree.map(jnp.asarray, data)
    eta = jnp.asarray(o.eta * np.arange(1, o.settings + 1) / o.settings, jnp.float32)[:, None, None]

    @jax.jit
    def run(w, buffer, data):
        def step(_, state):
            """g ← γ g + (1−γ) ∇L;  w ← w − η g"""
            w, buffer = state
            buffer = o.gamma * buffer + (1 - o.gamma) * gradient(w, data)
            return w - eta * buffer, buffer

        return lax.fori_loop(0, o.steps, step, (w, buffer))

    w = jnp.tile(first, (o.settings, 1, 1))
    buffer = jnp.zeros_like(w)
    for _ in range(2):  # the first call compiles
        begin = time.perf_counter()
        w, buffer = jax.block_until_ready(run(w, buffer, data))
        seconds = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "who": "jax",
                "version": jax.__version__,
                "device": jax.devices()[0].device_kind,
                "steps_per_s": [o.steps * o.settings / seconds],
                "losses": [float(v) for v in losses(w, data)],
            }
        )
    )


if __name__ == "__main__":
    main()
