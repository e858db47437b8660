#!/usr/bin/env python3
"""Steps a second of an environment of Gymnasium in a bare Python loop and through its host, by
turns. What asks the host here costs about what an actor's asking does; no policy is counted.

Usage: tests/python/host_speed.py [ID [STEPS [ROUNDS]]]

Example: tests/python/host_speed.py FetchReach-v4 2000 5
"""

import json
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import gym_host  # noqa: E402


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "FetchReach-v4"
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # As in a host.
    with tempfile.TemporaryDirectory(prefix="mentor-speed-") as folder:
        path = gym_host.path_of(folder)
        sys.path[:0] = path
        import numpy as np
        from host_driver import Host
        from mentor_env.gymnasium_adapter import _make

        bare = _make(name, {})
        host = Host(
            [sys.executable, "-m", "mentor_env"],
            {"id": name},
            {"PYTHONPATH": os.pathsep.join(path)},
        )
        space, generator = bare.action_space, np.random.default_rng(1)
        actions = generator.uniform(space.low, space.high, (steps, *space.shape)).astype("f4")

        def in_a_loop():
            bare.reset(seed=1)
            begin = time.perf_counter()
            for action in actions:
                _, _, terminated, truncated, _ = bare.step(action)
                if terminated or truncated:
                    bare.reset()
            return steps / (time.perf_counter() - begin)

        def hosted():
            host.reset(1)
            begin = time.perf_counter()
            for number, action in enumerate(actions):
                if host.step_only(action):
                    host.reset(number)
            return steps / (time.perf_counter() - begin)

        in_a_loop(), hosted()  # Warm.
        pairs = [(in_a_loop(), hosted()) for _ in range(rounds)]
    result = {
        "environment": name,
        "bare_steps_per_second": statistics.median(pair[0] for pair in pairs),
        "hosted_steps_per_second": statistics.median(pair[1] for pair in pairs),
        "ratios": [round(pair[1] / pair[0], 3) for pair in pairs],
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
