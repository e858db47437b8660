"""Tells the environments where our programs are: one compiles the models of bundles, and the files
of scenes are found from their folder."""

from mentor import _native
from mentor.programs import folders

for _folder in folders():
    if (_folder / "mentor-mjcf").exists():
        _native.set_program_folder(str(_folder.resolve()))
        break
