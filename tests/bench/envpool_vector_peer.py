#!/usr/bin/env python3
"""Peer of `mentor bench vector`: steps a second of the same environments in EnvPool.

Needs envpool 1.2.5 (deploy/install.sh --peers), which Mentor itself never uses:
  PYTHONPATH=build/python:.deps/peers mentor bench vector --peers deploy/bench

One round. Its arguments and its loop are those of python3 -m mentor.environments.speed. EnvPool
brings its own MuJoCo 3.6.0, so the ratio compares whole products.
"""

import importlib
import json
import sys


def make(name, size, threads):
    """push-v3 is MetaWorld/Push-v3 there."""
    import envpool

    theirs = name
    if name.endswith("-v3"):
        words = name.removesuffix("-v3").split("-")
        theirs = "MetaWorld/" + "".join(word.capitalize() for word in words) + "-v3"
    environments = envpool.make_gymnasium(theirs, num_envs=size, num_threads=threads, seed=1)
    environments.reset()
    return environments, environments.action_space


if __name__ == "__main__":
    try:
        importlib.import_module("envpool")
        from mentor.environments import speed
    except ImportError as missing:
        print(json.dumps({"none": f"{missing}: run deploy/install.sh --peers"}))
        sys.exit(0)
    sys.exit(speed.main(make, [__file__]))
