"""Build backend: setuptools, and grpcio-tools only where protoc and gRPC's plugin are not installed."""

from setuptools.build_meta import *  # noqa: F401,F403
from setuptools import build_meta

import generate


def _generators():
    return [] if generate.installed_tools() else ["grpcio-tools"]


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _generators()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _generators()
