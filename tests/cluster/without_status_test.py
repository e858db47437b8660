"""A server of another kind, whose HTTP/2 streams end without grpc-status: the programs that call it
say so and go on, and none of them aborts."""

import socket
import subprocess
import threading
import unittest

import peers
from harness import BIN, ClusterTest
from peers import ACK, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame


def fields(*pairs):
    return b"".join(b"\0" + peers.text(name) + peers.text(value) for name, value in pairs)


BEGIN = fields((":status", "200"), ("content-type", "application/grpc"))
ANSWERS = {
    "headers alone": lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, BEGIN),
    "trailers": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, BEGIN)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(("x", "y")))
    ),
}


class Server:
    """Answers every call with the same frames."""

    def __init__(self, answer):
        self.calls = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        try:
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except OSError:  # The test has ended.
            pass

    def _serve(self, connection):
        with connection:
            try:
                connection.sendall(frame(SETTINGS, 0, 0))
                peers.read_exactly(connection, len(peers.PREFACE))
                while True:
                    head = peers.read_exactly(connection, 9)
                    kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                    payload = peers.read_exactly(connection, int.from_bytes(head[:3], "big"))
                    if kind == HEADERS:
                        self.calls += 1
                        connection.sendall(self._answer(stream))
                    elif kind in (SETTINGS, PING) and not flags & ACK:
                        connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            except (peers.Gone, OSError):
                pass


class WithoutStatusTest(ClusterTest):
    def server(self, answer):
        server = Server(answer)
        self.addCleanup(server.close)
        return server

    def test_a_command_gets_an_error(self):
        for name, answer in ANSWERS.items():
            address = self.server(answer).address
            ctl = ("mentorctl", "--server", address, "--timeout", "2")
            for command in (
                (*ctl, "get", "x"),
                ("mentor-probe", "--address", address),
            ):
                with self.subTest(name, command=command):
                    done = subprocess.run(
                        [BIN / command[0], *command[1:]],
                        capture_output=True,
                        text=True,
                        timeout=60,
                    )
                    self.assertGreater(done.returncode, 0, done.stderr)
                    self.assertRegex(done.stderr, "(?i)error|unavailable|unknown")

    def test_a_worker_goes_on_trying(self):
        for name, answer in ANSWERS.items():
            for binary, flag in (
                ("mentor-learner", "--meta_learner"),
                ("mentor-actor", "--learner"),
            ):
                with self.subTest(name, binary=binary):
                    server = self.server(answer)
                    listen = ("--listen", "127.0.0.1:0") if binary == "mentor-learner" else ()
                    worker = self.start(binary, flag, server.address, *listen)
                    # Every attempt after the first one shows that the one before did no harm.
                    self.wait_until(
                        lambda: server.calls >= 3 or worker.child.poll() is not None, "calls", 60
                    )
                    self.assertIsNone(worker.child.poll(), worker.output())
                    worker.close()


if __name__ == "__main__":
    unittest.main()
