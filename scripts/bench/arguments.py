"""The command line and a part of the output that bench_jax.py and bench_torch.py share."""

import argparse


def parser(manual):
    """An argument parser with the shared options."""
    a = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = ["resnet18", "wrn16-1", "wrn16-4"]
    a.add_argument("--model", choices=models, default="resnet18")
    a.add_argument("--width", type=int, default=16, help="channels of the stem")
    a.add_argument("--chunk", type=int, default=32, help="images per gradient call")
    a.add_argument("--images", type=int, default=128, help="images per step")
    a.add_argument("--steps", type=int, default=3, help="timed steps")
    a.add_argument("--warmup", type=int, default=1, help="untimed steps; the first may compile")
    a.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="type of the network")
    a.add_argument("--matmul", type=int, metavar="M", help="time an f32 [M, M]·[M, M] instead")
    return a


def settings(o):
    """The part of the output that repeats the options."""
    names = ("model", "width", "chunk", "images", "dtype")
    return {name: getattr(o, name) for name in names}
