"""The client alone, for any machine; all else is in pyproject.toml."""

import pathlib
import sys

from setuptools import setup

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import build_steps  # noqa: E402

setup(
    cmdclass={"build_py": build_steps.BuildWithStubs, "sdist": build_steps.SdistWithProtos},
    install_requires=build_steps.REQUIRED,
    options=build_steps.OPTIONS,
)
