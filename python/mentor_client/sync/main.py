"""mentor-sync."""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from typing import Callable, List, Optional, Sequence, Tuple

from ..command import (
    DONE,
    add_connection,
    check_interrupted,
    connect,
    parser,
    run,
    with_underscores,
)
from ..lock import Lock, cache_file
from .content import FINAL, About, Logger, Point
from .mlflow_logger import MlflowLogger
from .source import Source, open_source
from .tensorboard_logger import TensorboardLogger
from .wandb_logger import WandbLogger

_ABOUT = """Shows a run or an experiment in MLflow, Weights & Biases or TensorBoard: the spec as
parameters, labels as tags, metrics by outer update and by environment steps, the evaluation's
curves of lifetimes, films. A call that was ended anywhere is repeated: nothing comes twice, and
nothing is missing. docs/studies.md has the details."""
_EXAMPLES = """\
mentor-sync mlflow runs/reach-1                       # into ./mlflow.db; then: mlflow ui
mentor-sync mlflow reach-1 --follow                   # an experiment of the service, while it runs
mentor-sync mlflow reach-1 --tracking_uri http://127.0.0.1:5000 --experiment reaching
mentor-sync wandb reach-1                             # offline, into ./wandb; then: wandb sync
mentor-sync tensorboard runs/reach-1 --logdir boards  # then: tensorboard --logdir boards"""


def _parser() -> argparse.ArgumentParser:
    top = parser("mentor-sync", _ABOUT, _EXAMPLES)
    loggers = top.add_subparsers(dest="logger", required=True, metavar="LOGGER")
    mlflow = loggers.add_parser("mlflow", help="MLflow's tracking", allow_abbrev=False)
    mlflow.add_argument(
        "--tracking_uri",
        metavar="URI",
        help="database or server; default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db",
    )
    mlflow.add_argument(
        "--experiment",
        metavar="NAME",
        default="mentor",
        help="MLflow's experiment; default: mentor",
    )
    wandb = loggers.add_parser("wandb", help="Weights & Biases", allow_abbrev=False)
    wandb.add_argument(
        "--mode",
        choices=["offline", "online"],
        default="offline",
        help="offline (default) writes a folder for `wandb sync`; online sends to the server that "
        "`wandb login` knows",
    )
    wandb.add_argument("--project", metavar="NAME", default="mentor", help="default: mentor")
    wandb.add_argument("--entity", metavar="NAME", help="user or team; default: wandb's own")
    wandb.add_argument(
        "--dir",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path(),
        help="where the folder wandb/ is made; default: here",
    )
    board = loggers.add_parser("tensorboard", help="TensorBoard's event files", allow_abbrev=False)
    board.add_argument(
        "--logdir",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path("tensorboard"),
        help="gets a folder for each experiment; default: tensorboard",
    )
    for one in (mlflow, wandb, board):
        one.add_argument(
            "source",
            metavar="RUN|EXPERIMENT",
            help="the folder of a run, or the name of an experiment of a service",
        )
        one.add_argument(
            "--follow",
            action="store_true",
            help="stay, and take new points as they come, until the experiment ends",
        )
        one.add_argument("--quiet", action="store_true", help="print errors only")
        add_connection(one)
    return top


def _target(flags: argparse.Namespace, about: About) -> Tuple[pathlib.Path, Callable[[], Logger]]:
    """Returns the file to lock and the factory of the logger."""
    if flags.logger == "mlflow":
        return (
            cache_file("mlflow", about.uid),
            lambda: MlflowLogger(about, flags.tracking_uri, flags.experiment),
        )
    if flags.logger == "wandb":
        return (
            flags.dir / "wandb" / f".mentor-{about.uid}.lock",
            lambda: WandbLogger(about, flags.project, flags.entity, flags.mode, flags.dir),
        )
    return (
        flags.logdir / f".mentor-{about.uid}.lock",
        lambda: TensorboardLogger(about, flags.logdir),
    )


def synchronise(
    source: Source, make: Callable[[], Logger], follow: bool, say: Callable[[str], None]
) -> None:
    """Copies everything that exists; with `follow`, also new data until the end."""
    first: List[Point] = list(source.points(False))  # Read before anything is written or replaced.
    logger = make()
    say(f"{source.about.name} -> {logger.where()}")
    state = ""
    try:
        new = logger.points(first)
        last = first[-1].step if first else 0
        say(f"{new} new of {len(first)} outer updates")
        for point in source.points(True) if follow else ():
            check_interrupted()
            if point.step > last:
                logger.points([point])
                last = point.step
                say(f"outer update {last}")
        state = source.state()
        # The evaluation is incomplete while the experiment runs.
        found = source.evaluation() if state in FINAL else None
        if found:
            logger.evaluated(found)
        with tempfile.TemporaryDirectory(prefix="mentor-sync-") as scratch:
            films = source.films(pathlib.Path(scratch))
            logger.films(films, state)
        say(
            f"{state or 'not at work'}: "
            f"{len(found.curves) if found else 0} curves, {len(films)} films"
        )
    finally:
        logger.close(state)


def _sync(flags: argparse.Namespace) -> int:
    def say(text: str) -> None:
        if not flags.quiet:
            print(text, flush=True)

    source = open_source(flags.source, lambda: connect(flags.server))
    lock, make = _target(flags, source.about)
    with Lock(lock, f"mentor-sync {flags.logger} of {source.about.name}"):
        synchronise(source, make, flags.follow, say)
    return DONE


def main(arguments: Optional[Sequence[str]] = None) -> int:
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    flags = _parser().parse_args(words)
    return run("mentor-sync", lambda: _sync(flags))


if __name__ == "__main__":
    sys.exit(main())
