"""python -m mentor_signal.npz FILE.npz FOLDER: makes a bundle of weights that others published as
NumPy's .npz, for a rule that takes them by its option `bundle`:

    python -m mentor_signal.npz disco_103.npz disco_103
    mentor run catch_disco --bundle disco_103

Writes FOLDER/weights.safetensors with the same names, shapes and numbers, as float32. A file whose
numbers float32 cannot hold exactly is refused; so is a file with pickled objects, which run code.
Exit status: 0, or 1 with the reason."""

from __future__ import annotations

import argparse
import pathlib
import sys
import zipfile
from typing import Dict, List, Optional

import numpy as np
from safetensors.numpy import save

from .errors import SignalError
from .lifetimes import Array

WEIGHTS = "weights.safetensors"
# As Mentor reads them.
NUMBERS_MAX = 64 << 20


def read(path: pathlib.Path) -> Dict[str, Array]:
    """Returns the arrays of an .npz file by name, as float32."""
    arrays: Dict[str, Array] = {}
    numbers = 0
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in sorted(file.files):
                wide = np.asarray(file[name])
                numbers += wide.size
                if numbers > NUMBERS_MAX:
                    raise SignalError("file", f"{path} has more than {NUMBERS_MAX} numbers")
                with np.errstate(all="ignore"):
                    narrow = np.ascontiguousarray(wide, dtype=np.float32)
                if not np.array_equal(narrow, wide):
                    raise SignalError(
                        "file",
                        f"{path}: '{name}' is {wide.dtype}, with numbers that float32 does not"
                        " hold or that are not finite",
                    )
                arrays[name] = narrow
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, SignalError):
            raise
        raise SignalError("file", f"{path} is no .npz file of numbers: {error}") from None
    if not arrays:
        raise SignalError("file", f"{path} has no arrays")
    return arrays


def convert(path: pathlib.Path, folder: pathlib.Path) -> int:
    """Writes the bundle. Returns how many numbers it has."""
    arrays = read(path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(save(arrays))
    return sum(array.size for array in arrays.values())


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mentor_signal.npz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=pathlib.Path, help="weights as .npz")
    parser.add_argument("folder", type=pathlib.Path, help="folder of the bundle; is made")
    given = parser.parse_args(arguments)
    try:
        numbers = convert(given.file, given.folder)
    except (SignalError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.folder / WEIGHTS}: {numbers} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
