"""Runs a page's blocks of Python one after another, as a notebook does: later ones see what earlier
ones made. The script of walk.py starts it in a folder with the files `block`, `environment` (what
`env -0` prints) and `folder`. A line on standard input asks for the block; descriptor 3 gets its
exit status."""

import os
import pathlib
import sys
import traceback


def run(text, namespace):
    try:
        exec(compile(text, "the block", "exec"), namespace)
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def main():
    here = pathlib.Path.cwd()
    asked = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = ""
    namespace = {"__name__": "__main__"}
    for _ in asked:
        variables = (here / "environment").read_text().rstrip("\0").split("\0")
        os.environ.update(one.split("=", 1) for one in variables)
        for folder in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            if folder and folder not in sys.path:
                sys.path.insert(1, folder)
        os.chdir((here / "folder").read_text().rstrip("\n"))
        status = run((here / "block").read_text(), namespace)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(3, f"{status}\n".encode())


if __name__ == "__main__":
    main()
