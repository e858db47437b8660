import sys

_NEEDED = ("altair", "jinja2", "numpy", "polars", "vl_convert")


def _main() -> int:
    try:
        from .cli import main
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in _NEEDED:
            raise
        print(
            f"error: a report needs the Python library {missing.name}, which {sys.executable} does "
            "not have: pip install 'mentor-client[report]'",
            file=sys.stderr,
        )
        return 4
    return main()


if __name__ == "__main__":
    sys.exit(_main())
