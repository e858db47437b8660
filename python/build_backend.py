"""Build backend: setuptools, and grpcio-tools only where protoc and gRPC's plugin are not
installed."""

from setuptools import build_meta

import generate


def __getattr__(name):
    """Hooks that are not below are those of setuptools, in whichever version is there."""
    return getattr(build_meta, name)


def _generators():
    return [] if generate.installed_tools() else ["grpcio-tools"]


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _generators()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _generators()
