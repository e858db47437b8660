"""The connection to a meta-learner: credentials, the token, deadlines, repeated calls. Threads may
share it."""

from __future__ import annotations

import logging
import os
import pathlib
import random
import re
import threading
import time
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

import grpc

from .addresses import is_loopback, parse_addresses, proxy_for, through
from .errors import MentorError, MentorTimeout, from_call, usage
from .servers import Servers

log = logging.getLogger("mentor_client")
# Same options as the meta_learner's own clients (common/rpc/server.h). A server refuses clients
# that ping more often.
_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", 8 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # Limit of one attempt, handshake included.
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # Calls are repeated here, with the same request_id.
]
# With several servers, a silent one is abandoned sooner than a single one would be.
_CONNECT_ONE_OF_SEVERAL = ("grpc.min_reconnect_backoff_ms", 3_000)
_SECONDS_MAX = 1e9
_READS = ("Get", "List", "Parse", "Query", "Watch", "Download")
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.1, 2.0
_BACKOFF_NOT_LEADER_MAX_S = 0.5  # Standby servers check for a lost leader this often.
_ATTEMPT_S = 10.0
_ALIVE_S = 30.0  # A stream that lasted this long had its server.
# Limit of the first attempt with several servers: a stopped leader is replaced by then.
_FIRST_ATTEMPT_S = 7.0


def parse_token(field: str, text: str) -> str:
    """Returns the token in a text, without blanks around it. gRPC prints headers with other
    characters; the error does not show them.
    """
    token = text.strip(" \t\n\v\f\r")
    if not re.fullmatch(r"[!-~]+", token):
        what = "holds no token: give one line of printable ASCII characters without blanks"
        raise usage(
            field,
            f"{what if token else 'is empty, give a token'}; `mentorctl token new ROLE NAME` "
            "prints a token",
        )
    return token


class Token:
    """A token, or a token file that is read again when it changes."""

    def __init__(self, token: Optional[str], path: Optional[str], source: str = "token"):
        self._path = pathlib.Path(path) if path else None
        self._token = parse_token(source, token) if token else None
        self._mark: Any = None
        self._lock = threading.Lock()
        if self._path:
            try:
                self._look()
            except OSError as error:
                raise usage("token_file", f"cannot be read: {error}") from None

    def _look(self) -> None:
        assert self._path
        stat = self._path.stat()
        mark = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if mark != self._mark:
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._token = parse_token("token_file", text)
            self._mark = mark

    def metadata(self) -> List[Tuple[str, str]]:
        with self._lock:
            if self._path:
                try:
                    self._look()
                except (
                    OSError,
                    MentorError,
                ):  # The file is being replaced: the old token is valid.
                    pass
            return [("authorization", f"Bearer {self._token}")] if self._token else []

    def __repr__(self) -> str:
        return "Token(...)"


def _pem(field: str, path: Optional[str]) -> Optional[bytes]:
    if path is None:
        return None
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise usage(field, f"cannot be read: {error}") from None


def open_servers(
    server: str, ca: Optional[str], cert: Optional[str], key: Optional[str], allow_insecure: bool
) -> Servers:
    """Splits one address, or several separated by commas, of which one leads."""
    addresses = parse_addresses("server", server)
    options = _OPTIONS
    if len(addresses) > 1:
        options = [option for option in _OPTIONS if option[0] != _CONNECT_ONE_OF_SEVERAL[0]]
        options.append(_CONNECT_ONE_OF_SEVERAL)
    return Servers(addresses, lambda one: open_channel(one, ca, cert, key, allow_insecure, options))


def _proxy_options(server: str) -> List[Tuple[str, Any]]:
    """Turns proxies off where none may be used, whatever the variables say."""
    if proxy_for(server, os.environ) is not None:
        return []
    # The second option outvotes GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES of newer versions.
    return [("grpc.enable_http_proxy", 0), ("grpc.address_http_proxy_enabled_addresses", "")]


def open_channel(
    server: str,
    ca: Optional[str],
    cert: Optional[str],
    key: Optional[str],
    allow_insecure: bool,
    options: List[Tuple[str, Any]],
) -> grpc.Channel:
    options = [*options, *_proxy_options(server)]
    if (cert is None) != (key is None):
        raise usage(
            "cert" if cert is None else "key", "is missing: a certificate and its key go together"
        )
    if ca is not None:
        tls = grpc.ssl_channel_credentials(_pem("ca", ca), _pem("key", key), _pem("cert", cert))
        return grpc.secure_channel(server, tls, options)
    if cert is not None:
        raise usage("ca", "is missing: name the authority of the server's certificate too")
    if is_loopback(server):
        return grpc.secure_channel(server, grpc.local_channel_credentials(), options)
    if allow_insecure:
        return grpc.insecure_channel(server, options)
    raise usage(
        "ca",
        f"is missing: {server} is not of this machine, so its certificate must be checked; or say "
        "allow_insecure=True where the network protects itself (docs/security.md)",
    )


def wait_before(error: MentorError, attempt: int) -> Optional[float]:
    """Returns the seconds before another attempt; None when a repeat cannot help."""
    spread: float = random.random()
    if (
        error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
        and error.retry_delay is not None
    ):
        # Jitter: callers that were told the same delay must not all return at once.
        return min(error.retry_delay, 3600.0) * (1 + 0.1 * spread) + 0.001
    if error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        most = _BACKOFF_NOT_LEADER_MAX_S if error.reason == "NOT_LEADER" else _BACKOFF_MAX_S
        return min(most, _BACKOFF_MIN_S * float(2 ** min(attempt, 10))) * (0.5 + 0.5 * spread)
    return None


def seconds(field: str, value: float) -> float:
    """Checks a number of seconds. Infinity becomes the largest span that gRPC can count."""
    if not isinstance(value, (int, float)) or value != value:
        raise usage(field, f"is {value!r}; give a number of seconds")
    return min(value, _SECONDS_MAX)


class Connection:
    def __init__(
        self,
        servers: Servers,
        token: Token,
        timeout: float,
        patience: float,
        on_contact: Callable[[Optional[MentorError]], None] = lambda error: None,
        read_only: bool = False,
    ):
        self.timeout = timeout
        self._read_only = read_only
        self.patience = patience
        self._on_contact = on_contact
        self._servers = servers
        self._closed = False
        self._token = token

    def close(self) -> None:
        self._closed = True
        self._servers.close()

    def _error(self, failure: grpc.RpcError) -> MentorError:
        error = from_call(failure)
        if error.code == grpc.StatusCode.UNAVAILABLE and not error.reason:  # No server answered.
            return MentorError(
                error.code,
                f"{error.message}{self._through()}; is a meta-learner at work at "
                f"{self._servers.names}? Another one is named by server=HOST:PORT or MENTOR_SERVER",
                retry_delay=error.retry_delay,
            )
        if error.code != grpc.StatusCode.CANCELLED or self._closed:
            return error
        # The server ends, for instance a standby that takes over now.
        return MentorError(grpc.StatusCode.UNAVAILABLE, "the server ended the call")

    def _through(self) -> str:
        return "".join(through(one, os.environ) for one in self._servers.names.split(","))

    def _ended(self) -> MentorError:
        """gRPC raises ValueError for calls on a closed channel."""
        return MentorError(
            grpc.StatusCode.CANCELLED,
            "the client is closed" if self._closed else "the call is not possible",
        )

    def call(
        self, method: str, request: Any, timeout: Optional[float] = None, gone_is_done: bool = False
    ) -> Any:
        """Makes one call, repeated while that may help, until the timeout (seconds).
        `gone_is_done`: NOT_FOUND after a lost answer means that the earlier attempt succeeded; the
        answer is None.
        """
        asks = method.startswith(_READS) or getattr(request, "validate_only", False)
        if self._read_only and not asks:
            raise MentorError(
                grpc.StatusCode.PERMISSION_DENIED, f"{method} is a change; this client only reads"
            )
        span_s = self.timeout if timeout is None else seconds("timeout", timeout)
        deadline = time.monotonic() + span_s
        lost, attempt, led = False, 0, 0
        away: Optional[MentorError] = None
        while True:
            left = max(0.001, deadline - time.monotonic())
            span = max(_ATTEMPT_S, left / 3)
            if attempt == 0 and self._servers.count > 1:
                span = _FIRST_ATTEMPT_S
            stub = self._servers.stub()
            try:
                return getattr(stub, method)(
                    request, timeout=min(left, span), metadata=self._token.metadata()
                )
            except grpc.RpcError as failure:
                error = self._error(failure)
            except ValueError:
                raise self._ended() from None
            leader_known = self._servers.failed(stub, error)
            if gone_is_done and lost and error.code == grpc.StatusCode.NOT_FOUND:
                return None
            # The wait grows once per round over all servers.
            pause = wait_before(error, attempt // self._servers.count)
            # At most one round: a circle of wrong hints must not spin.
            if leader_known and led < self._servers.count:
                pause, led = 0.0, led + 1
            if error.code == grpc.StatusCode.UNAVAILABLE:
                away = error
            if pause is None or time.monotonic() + pause >= deadline:
                # A short last attempt says less than the error before it.
                cut = error.code == grpc.StatusCode.DEADLINE_EXCEEDED
                raise (away if cut and away is not None else error) from None
            lost |= error.code != grpc.StatusCode.RESOURCE_EXHAUSTED
            attempt += 1
            log.debug("%s: %s; again in %.2f s", method, error, pause)
            time.sleep(pause)

    def stream(self, method: str, request: Any, deadline: Optional[float] = None) -> Iterator[Any]:
        """Yields one stream until it ends; abandoning the iterator cancels it. `deadline` is in
        time.monotonic().
        """
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        stub = self._servers.stub()
        try:
            call = getattr(stub, method)(request, timeout=left, metadata=self._token.metadata())
        except ValueError:
            raise self._ended() from None
        try:
            yield from call
        except grpc.RpcError as failure:
            if deadline is not None and time.monotonic() >= deadline:
                raise MentorTimeout(f"{method}: the time is over") from None
            error = self._error(failure)
            self._servers.failed(stub, error)
            raise error from None
        finally:
            call.cancel()

    def resumed(
        self,
        begin: Callable[[], Iterator[Any]],
        deadline: Optional[float],
        patience: Optional[float] = None,
        ends: bool = False,
    ) -> "Generator[Any, None, None]":
        """Yields the messages of a stream that `begin` restarts whenever it breaks. Stops at the
        deadline, or after `patience` seconds without the server. A stream may be silent for longer.
        `ends`: the server ends the stream when it is complete.
        """
        patience = self.patience if patience is None else patience
        attempt, away = 0, None  # Since when the server is away.
        while True:
            began = time.monotonic()
            messages = begin()
            try:
                for message in messages:
                    if attempt:
                        self._on_contact(None)
                    attempt, away = 0, None
                    yield message
                    began = time.monotonic()  # The caller may have taken long.
                if ends:
                    return
                error = MentorError(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
            except MentorTimeout:
                raise
            except MentorError as failure:
                error = failure
            finally:
                messages.close()  # type: ignore[attr-defined]
            now = time.monotonic()
            if now - began > _ALIVE_S:
                attempt, away = 0, None
            away = now if away is None else away
            pause = wait_before(error, attempt)
            if pause is None:
                if error.code != grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise error
                pause = _BACKOFF_MAX_S
            if deadline is not None and now + pause >= deadline:
                raise MentorTimeout(
                    f"the time is over; the server could not be reached: {error.message}"
                )
            if now + pause - away >= patience:
                raise error
            if attempt == 0:
                log.warning("lost the server (%s); trying again", error.message)
                self._on_contact(error)
            attempt += 1
            time.sleep(pause)


def from_environment(
    value: Optional[str], variable: str, default: Optional[str] = None
) -> Optional[str]:
    return value if value is not None else os.environ.get(variable) or default
