"""Flags, messages and exit codes shared by the programs of this package."""

from __future__ import annotations

import argparse
import importlib
import select
import signal
import sys
import threading
from typing import Any, Callable, List, NoReturn, Optional, Sequence

import grpc

from . import __version__
from .client import Client
from .errors import MentorError

DONE, FAILED, USAGE, NOT_FOUND, CREDENTIALS, STATE, UNAVAILABLE, INTERRUPTED = (*range(7), 130)
_EXIT_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.OUT_OF_RANGE: USAGE,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED: CREDENTIALS,
    grpc.StatusCode.PERMISSION_DENIED: CREDENTIALS,
    grpc.StatusCode.ALREADY_EXISTS: STATE,
    grpc.StatusCode.FAILED_PRECONDITION: STATE,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNAVAILABLE,
}
SERVICE_ON_A_LAPTOP = (
    "mentor-meta-learner --state state &\n  mentor-learner & mentor-actor --threads 2 &"
)


def parser(program: str, about: str, examples: str) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=program,
        description=about,
        epilog="examples:\n" + "".join(f"  {line}\n" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"{program} {__version__}")
    return top


def add_connection(to: argparse.ArgumentParser, token: bool = True) -> None:
    more = ", MENTOR_TOKEN_FILE" * token
    to.add_argument(
        "--server",
        metavar="HOST:PORT",
        help="the meta-learner; default: MENTOR_SERVER, else 127.0.0.1:50052. Credentials come "
        f"from the variables MENTOR_TLS_CA, MENTOR_TLS_CERT, MENTOR_TLS_KEY{more}",
    )


def connect(server: Optional[str], timeout: float = 30.0) -> Client:
    return Client(server, timeout=timeout)


def with_underscores(arguments: Sequence[str]) -> List[str]:
    """Flags take underscores or dashes."""
    result = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        result.append(name + equals + value)
    return result


def needs(module: str, packages: str, what: str) -> Any:
    """Returns an optional library, or raises an error with the command that installs it."""
    top = module.partition(".")[0]
    try:
        found = importlib.import_module(module)
        # A folder of that name, say wandb/, is no library.
        if getattr(found, "__file__", None) is None:
            raise ImportError(name=top)
        return found
    except ImportError as error:
        why = "" if getattr(error, "name", None) == top else f" ({error})"
        raise MentorError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{what} needs the Python package {top}, which cannot be imported{why}: "
            f"pip install {packages}",
            reason="LIBRARY_MISSING",
        ) from None


_asked_to_end = threading.Event()


def _interrupt(number: int, frame: Any) -> NoReturn:
    _asked_to_end.set()
    raise KeyboardInterrupt


def check_interrupted() -> None:
    """Call this in long loops. An exception that a signal handler raises inside a finaliser is
    lost, since Python ignores every exception there.
    """
    if _asked_to_end.is_set():
        raise KeyboardInterrupt


# Libraries of the extras. Their messages about a damaged database, a full disk or an absent server
# are shown to users; their tracebacks are not.
_LIBRARIES = {"alembic", "mlflow", "optuna", "requests", "sqlalchemy", "sqlite3", "wandb"}


def _is_unread() -> bool:
    """True if the reader of the output has gone. A lost connection breaks a pipe, too."""
    watch = select.poll()
    watch.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in watch.poll(0))


def run(program: str, action: Callable[[], int]) -> int:
    """Returns an action's exit code; failures become one sentence. SIGTERM acts as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell ignores SIGINT for its background jobs.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = action()
        sys.stdout.flush()
        return code
    except MentorError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.code == grpc.StatusCode.UNAVAILABLE:
            print(
                "hint: name the service by --server or MENTOR_SERVER; one on this machine takes\n"
                f"  {SERVICE_ON_A_LAPTOP}",
                file=sys.stderr,
            )
        return _EXIT_CODES.get(error.code, FAILED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.raise_signal(signal.SIGPIPE)  # In silence, as other programs.
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library not in _LIBRARIES:
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"error: {library} says: {said}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
