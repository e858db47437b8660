"""Tells the environments where our programs are: one compiles the models of bundles, and the files
of scenes are found from their folder."""

from mentor import _native
from mentor.programs import folders


def tell() -> None:
    """Sets the folder; without one, bundles cannot be made."""
    for folder in folders():
        if (folder / "mentor-mjcf").exists():
            _native.set_program_folder(str(folder.resolve()))
            return
