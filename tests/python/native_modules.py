"""Makes the compiled package mentor and its libraries importable. Without them a test fails: it
does not skip."""

import os
import pathlib
import sys

from package import ROOT

BUILD = pathlib.Path(os.environ["MENTOR_BIN_DIR"]).parent / "python"
HOSTS = ROOT / ".deps" / "hosts"
SIGNAL = ROOT / ".deps" / "signal"
WHEELS = ROOT / ".deps" / "wheels"
PEERS = ROOT / ".deps" / "peers"  # deploy/bench/vector: metaworld needs its SciPy.


def make_importable(*libraries):
    for folder in (BUILD, HOSTS, *libraries):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} is missing: build mentor_python and run deploy/install.sh --hosts --signal"
            )
    sys.path[:0] = [str(BUILD), str(HOSTS)]
    # Behind: what both have comes from HOSTS.
    sys.path.extend(str(folder) for folder in libraries)
