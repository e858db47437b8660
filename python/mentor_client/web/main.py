"""mentor-web."""

from __future__ import annotations

import argparse
import socket
import sys
from typing import Optional, Sequence

from .. import command
from ..command import DONE, add_connection, parser, run, with_underscores
from ..addresses import is_loopback, parse_address
from ..errors import usage

_ABOUT = """Shows the experiments of a service in a browser: submits, watches, compares and changes
them. Every call is made with the token that the browser's user signs in with; on a service without
tokens nobody signs in. docs/web.md has the views, the limits and what protects them."""
_EXAMPLES = """\
mentor-web                                            # http://127.0.0.1:8080, for a service on this machine
mentor-web --server lab:50052 --listen 0.0.0.0:8443 --tls_cert web.pem --tls_key web.key
mentor-web --listen 0.0.0.0:8080 --allow_insecure --origin https://mentor.lab   # behind a proxy with TLS"""


def _parser() -> argparse.ArgumentParser:
    top = parser("mentor-web", _ABOUT, _EXAMPLES)
    add_connection(top, token=False)
    top.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:8080",
        help="where browsers come; port 0: chosen by the system; default: 127.0.0.1:8080",
    )
    top.add_argument("--tls_cert", metavar="FILE", help="certificate for browsers (PEM)")
    top.add_argument("--tls_key", metavar="FILE", help="its key (PEM)")
    top.add_argument(
        "--allow_insecure",
        action="store_true",
        help="plain text beyond this machine, to browsers and to the service, where the network or "
        "a proxy protects it",
    )
    top.add_argument(
        "--read_only",
        action="store_true",
        help="pages without what submits or changes experiments; what callers may do is the "
        "service's to say",
    )
    top.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        help="address under which browsers come if it is not that of --listen, such as a proxy's "
        "or this machine's name; may be repeated",
    )
    for name, most, what in (
        ("sessions_max", 200, "browsers that are signed in"),
        ("pages_max", 200, "pages that are open"),
        ("rows_max", 2000, "experiments in a table"),
        ("points_max", 1000, "points of a curve"),
    ):
        top.add_argument(
            f"--{name}", metavar="N", type=int, default=most, help=f"most {what}; default: {most}"
        )
    return top


def _check(flags: argparse.Namespace) -> None:
    flags.listen = parse_address("listen", flags.listen, least_port=0)
    if bool(flags.tls_cert) != bool(flags.tls_key):
        raise usage("tls_cert", "and tls_key belong together; give both")
    if not flags.tls_cert and not flags.allow_insecure and not is_loopback(flags.listen):
        raise usage(
            "listen",
            f"is {flags.listen}, beyond this machine; give --tls_cert and --tls_key, or "
            "--allow_insecure where a proxy or the network protects it",
        )
    for origin in flags.origin or ():
        if not origin.startswith(("https://", "http://")) or origin.endswith("/"):
            raise usage("origin", f"is '{origin}'; give https://HOST or https://HOST:PORT")
    for name in ("sessions_max", "pages_max", "rows_max", "points_max"):
        if not 1 <= getattr(flags, name) <= 10_000:
            raise usage(name, f"is {getattr(flags, name)}; give 1 to 10000")


def _serve(flags: argparse.Namespace) -> int:
    _check(flags)
    command.needs("nicegui", "'mentor_client[web]'", "mentor-web")
    from .app import application

    import uvicorn

    from .session import MESSAGE_BYTES_MAX, Impatient

    host, _, port = flags.listen.rpartition(":")
    config = uvicorn.Config(
        application(flags),
        ssl_certfile=flags.tls_cert,
        ssl_keyfile=flags.tls_key,
        http=Impatient,
        ws="wsproto",  # As NiceGUI's own server.
        ws_max_size=MESSAGE_BYTES_MAX,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    config.load()
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    shown = f"{host}:{listener.getsockname()[1]}"
    print(f"listening on http{'s' if flags.tls_cert else ''}://{shown}", flush=True)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:  # It has ended in order; the signal comes once more.
        pass
    return DONE


def main(arguments: Optional[Sequence[str]] = None) -> int:
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    flags = _parser().parse_args(words)
    return run("mentor-web", lambda: _serve(flags))


if __name__ == "__main__":
    sys.exit(main())
