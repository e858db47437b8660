#!/usr/bin/env python3
"""Peer of `signal --device cuda`: cuDNN's LSTM along a segment, through PyTorch.

Needs a GPU, and a python3 on PATH with torch 2.11 for CUDA, which Mentor's own folders have not.
It has never run on a GPU; --try runs it on the CPU.

One round: microseconds by the wall clock of one step of all lifetimes. cuDNN gets all steps at once
and has nothing but the recurrent cells. It has no encoder, no heads, and no signal that enters the
next step. So it does much less than the signal network, and is a bound rather than a rival.
"""

import json
import os
import sys
import time

LIFETIMES, STEPS, INPUTS, HIDDEN = (30, 132, 512), 2000, 32, 128


def none(reason):
    print(json.dumps({"none": reason}))
    sys.exit(0)


def step_us(lifetimes, device, steps):
    cells = torch.nn.LSTM(INPUTS, HIDDEN).to(device)
    x = torch.randn(steps, lifetimes, INPUTS, device=device)
    with torch.no_grad():
        cells(x)  # Warm-up.
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        cells(x)
        if device == "cuda":
            torch.cuda.synchronize()
    return 1e6 * (time.perf_counter() - start) / steps


def main(device, lifetimes, steps):
    figures = {f"step_s{s}": {"value": step_us(s, device, steps), "unit": "us"} for s in lifetimes}
    versions = {"torch": torch.__version__, "cudnn": str(torch.backends.cudnn.version())}
    print(json.dumps({"figures": figures, "versions": versions}))


if __name__ == "__main__":
    trial = "--try" in sys.argv
    if not os.environ.get("MENTOR_BENCH_DEVICE", "cpu").startswith("cuda") and not trial:
        none("is for --device cuda")
    try:
        import torch
    except ImportError as absent:
        none(f"{absent}: put a Python with torch 2.11 for CUDA first on PATH")
    if trial:
        main("cpu", (2,), 50)
        sys.exit(0)
    if not torch.cuda.is_available():
        none("torch finds no GPU: run it where one is, with torch 2.11 for CUDA")
    main("cuda", LIFETIMES, STEPS)
