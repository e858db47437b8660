"""python -m mentor_signal.npz FILE.npz FOLDER: makes a bundle of weights that others published as
NumPy's .npz, for a rule that takes them by its option `bundle`:

    python -m mentor_signal.npz disco_103.npz disco_103
    mentor run catch_disco --bundle disco_103

Writes FOLDER/weights.safetensors with the same names, shapes and numbers, as float32. A file whose
numbers float32 cannot hold exactly is refused; so is a file with pickled objects, which run code.
Exit status: 0, or 1 with the reason."""

from __future__ import annotations

import argparse
import math
import pathlib
import sys
import zipfile
from typing import IO, Any, Dict, List, Optional, Tuple

import numpy as np
from numpy.lib import format as npy
from safetensors.numpy import save

from .errors import SignalError
from .lifetimes import Array

WEIGHTS = "weights.safetensors"
# As Mentor reads them.
NUMBERS_MAX = 64 << 20


def _header(stream: IO[bytes]) -> Tuple[Tuple[int, ...], "np.dtype[Any]"]:
    """Returns shape and dtype of an array without reading its numbers."""
    first = npy.read_magic(stream) == (1, 0)
    read_header = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    return shape, dtype


def _members(archive: zipfile.ZipFile) -> Dict[str, zipfile.ZipInfo]:
    """Returns the arrays of an archive by name. All headers are read before any number: a small
    archive may claim more than fits into memory."""
    members: Dict[str, zipfile.ZipInfo] = {}
    numbers = 0
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == "__metadata__" or {"", ".", ".."} & set(name.split("/")):
            raise ValueError(f"{member.filename!r} is no name of an array")
        if name in members:
            raise ValueError(f"has {name!r} twice")
        members[name] = member
        with archive.open(member) as stream:
            shape, dtype = _header(stream)
        if dtype.kind not in "fiub":
            raise ValueError(f"{name!r} is {dtype}; weights are real numbers")
        numbers += abs(math.prod(shape))
    if not members:
        raise ValueError("has no arrays")
    if numbers > NUMBERS_MAX:
        raise ValueError(f"has {numbers} numbers, more than {NUMBERS_MAX}")
    return members


def _narrow(name: str, wide: Array) -> Array:
    with np.errstate(all="ignore"):
        narrow = wide.astype(np.float32, order="C")
        exact = np.array_equal(narrow.astype(wide.dtype), wide)
    if not (exact and np.isfinite(narrow).all()):
        raise ValueError(
            f"{name!r} is {wide.dtype}, with numbers that float32 does not hold or that are not"
            " finite"
        )
    return narrow


def read(path: pathlib.Path) -> Dict[str, Array]:
    """Returns the arrays of an .npz file by name, as float32."""
    arrays: Dict[str, Array] = {}
    try:
        if not path.is_file():  # A device or a pipe may have no end.
            raise ValueError("there is no such file")
        with zipfile.ZipFile(path) as archive:
            for name, member in sorted(_members(archive).items()):
                with archive.open(member) as stream:
                    arrays[name] = _narrow(name, npy.read_array(stream, allow_pickle=False))
    except Exception as error:  # zipfile, zlib and NumPy have no common error for a broken file.
        why = str(error) or type(error).__name__
        raise SignalError("file", f"{path} is no .npz file of weights: {why}") from None
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
