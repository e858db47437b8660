"""Peers for tests of the ports: credentials made with openssl, and a gRPC client of raw bytes that
can break the protocol. Standard library only."""

import hashlib
import os
import pathlib
import secrets
import select
import socket
import ssl
import struct
import subprocess
import time

ROLES = ("viewer", "operator", "actor", "learner")


class Credentials:
    """A folder with two authorities, pairs for servers and for each role, and a token for each
    role."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o700)
        for authority in ("ca", "other"):
            self._openssl(
                "req",
                "-x509",
                *self._new_key(authority),
                "-out",
                self / f"{authority}.crt",
                "-days",
                "2",
                "-subj",
                f"/CN={authority}",
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign",
            )
        self.make("server", "DNS:localhost,IP:127.0.0.1")
        self.make("learner", "DNS:localhost,IP:127.0.0.1,URI:spiffe://mentor/role/learner")
        for role in ("viewer", "operator", "actor"):
            self.make(role, f"URI:spiffe://mentor/role/{role}")
        self.make("expired", "URI:spiffe://mentor/role/operator", days=-1)
        self.make("stranger", "URI:spiffe://mentor/role/operator", authority="other")
        self.tokens = {role: "canary_" + secrets.token_hex(24) for role in ROLES}
        lines = [
            f"{role} {role}-token {hashlib.sha256(token.encode()).hexdigest()}"
            for role, token in self.tokens.items()
        ]
        self.write("tokens", "\n".join(lines) + "\n")
        for role, token in self.tokens.items():
            self.write(f"{role}.token", token + "\n")

    def __truediv__(self, name):
        return str(self.folder / name)

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)

    def make(self, name, names, authority="ca", days=2):
        self.write("ext", f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl(
            "req", "-new", *self._new_key(name), "-out", self / "csr", "-subj", f"/CN={name}"
        )
        self._openssl(
            "x509",
            "-req",
            "-in",
            self / "csr",
            "-CA",
            self / f"{authority}.crt",
            "-CAkey",
            self / f"{authority}.key",
            "-CAcreateserial",
            "-out",
            self / f"{name}.crt",
            "-days",
            str(days),
            "-extfile",
            self / "ext",
        )

    def tls(self, name):
        """Flags of a process with this pair."""
        return [
            "--tls_cert",
            self / f"{name}.crt",
            "--tls_key",
            self / f"{name}.key",
            "--tls_ca",
            self / "ca.crt",
        ]

    def context(self, name=None):
        """Returns the context of a client with this pair, or without one."""
        context = ssl.create_default_context(cafile=self / "ca.crt")
        context.set_alpn_protocols(["h2"])
        if name:
            context.load_cert_chain(self / f"{name}.crt", self / f"{name}.key")
        return context

    def _new_key(self, name):
        return [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            self / f"{name}.key",
        ]

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(
            ["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL
        )


def connect(address, context=None, timeout=10):
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=timeout)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


# HTTP/2 by hand (RFC 9113) with headers as literals (RFC 7541).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b"", length=None):
    return (
        struct.pack(">I", len(payload) if length is None else length)[1:]
        + struct.pack(">BBI", kind, flags, stream)
        + payload
    )


def text(value):
    value = value.encode() if isinstance(value, str) else value
    size, length = len(value), b""
    if size < 127:
        length = bytes([size])
    else:
        size -= 127
        length = b"\x7f"
        while size >= 128:
            length += bytes([size & 127 | 128])
            size >>= 7
        length += bytes([size])
    return length + value


def headers(path, token=None, extra=()):
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    if token is not None:
        fields.append(("authorization", f"Bearer {token}"))
    return b"".join(b"\0" + text(name) + text(value) for name, value in (*fields, *extra))


def opening(path, token=None, extra=()):
    """Returns all bytes up to the message of a call."""
    block = headers(path, token, extra)
    parts = [block[i : i + 16384] for i in range(0, len(block), 16384)]
    out = PREFACE + frame(SETTINGS, 0, 0)
    for i, part in enumerate(parts):
        out += frame(
            HEADERS if i == 0 else CONTINUATION, END_HEADERS if i == len(parts) - 1 else 0, 1, part
        )
    return out


class Gone(Exception):
    """The server ended the connection or the stream without a status."""


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise Gone("the connection is closed")
        data += part
    return data


def read_status(sock):
    """Returns grpc-status and grpc-message of stream 1."""
    while True:
        head = read_exactly(sock, 9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = read_exactly(sock, size)
        if kind == SETTINGS and not flags & ACK:
            sock.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            sock.sendall(frame(PING, ACK, 0, payload))
        elif kind == HEADERS:

            def field(name):
                at = payload.find(name)
                if at < 0:
                    return None
                length = payload[at + len(name)]
                return payload[at + len(name) + 1 : at + len(name) + 1 + length].decode()

            status = field(b"grpc-status")
            if status is not None:
                return int(status), field(b"grpc-message") or ""
        elif kind == RST_STREAM:
            raise Gone(f"stream reset, error {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY:
            raise Gone(f"goaway, error {int.from_bytes(payload[4:8], 'big')} {payload[8:]}")


def call(address, path, token=None, context=None, message=b"", length=None, extra=(), timeout=10):
    """Makes one call with one message; returns its status and message. Raises Gone, OSError or
    ssl.SSLError if there is none."""
    with connect(address, context, timeout) as sock:
        declared = len(message) if length is None else length
        body = b"\0" + struct.pack(">I", declared) + message
        sock.sendall(
            opening(path, token, extra) + frame(DATA, END_STREAM if length is None else 0, 1, body)
        )
        return read_status(sock)


def readable(sock, seconds):
    """TLS may hold bytes that select does not see."""
    return (isinstance(sock, ssl.SSLSocket) and sock.pending()) or select.select(
        [sock], [], [], seconds
    )[0]


def flood(address, path, token, context, length, look, seconds=30):
    """Sends a message of `length` bytes as fast as the server's windows allow, until the server
    ends it; calls look() now and then. Returns the sent bytes, and the status if there was one."""
    with connect(address, context, 5) as sock:
        sock.sendall(opening(path, token))
        connection, stream, initial, sent = 65535, 65535, 65535, 0
        pending = b"\0" + struct.pack(">I", length)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while min(connection, stream) >= 16384 and sent < length + 5 and not readable(sock, 0):
                payload = pending + b"x" * (min(16384, length + 5 - sent) - len(pending))
                pending = b""
                try:
                    sock.sendall(
                        frame(
                            DATA, 0 if sent + len(payload) < length + 5 else END_STREAM, 1, payload
                        )
                    )
                except OSError:
                    return sent, None
                connection, stream, sent = (
                    connection - len(payload),
                    stream - len(payload),
                    sent + len(payload),
                )
                if sent % (1 << 20) == 0:
                    look()
            if not readable(sock, 1):
                look()
                continue
            try:
                head = read_exactly(sock, 9)
                payload = read_exactly(sock, int.from_bytes(head[:3], "big"))
            except (Gone, OSError):
                return sent, None
            kind, flags, answer = head[3], head[4], b""
            if kind == WINDOW_UPDATE:
                if head[5:] == b"\0\0\0\0":
                    connection += int.from_bytes(payload, "big")
                else:
                    stream += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                for i in range(0, len(payload), 6):
                    if payload[i : i + 2] == b"\0\4":
                        new = int.from_bytes(payload[i + 2 : i + 6], "big")
                        stream, initial = stream + new - initial, new
                answer = frame(SETTINGS, ACK, 0)
            elif kind == PING and not flags & ACK:
                answer = frame(PING, ACK, 0, payload)
            elif kind == HEADERS and b"grpc-status" in payload:
                at = payload.find(b"grpc-status") + len(b"grpc-status")
                return sent, int(payload[at + 1 : at + 1 + payload[at]])
            elif kind in (RST_STREAM, GOAWAY):
                return sent, None
            try:
                sock.sendall(answer)
            except OSError:  # The server has ended the connection meanwhile.
                return sent, None
        raise AssertionError(
            f"the server took {sent >> 20} MiB of a message in {seconds} s and did not end it"
        )


def resident_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
