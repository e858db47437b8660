"""Which answers the Python client takes for which, without a server: its calls answer from a list,
and its clock moves only when something waits."""

import hashlib
import pathlib
import tempfile
import types
import unittest
from unittest import mock

import package

NAME = "experiments/a/checkpoints/00000004"


def setUpModule():
    global grpc, connection, download, wire, MentorError
    package.make_importable()
    import grpc
    from mentor_client import MentorError, connection, download
    from mentor_client.v1 import experiment_service_pb2 as wire


class Clock:
    """In place of the module `time`."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def refusal(name):
    error = grpc.RpcError()
    error.code, error.details = lambda: getattr(grpc.StatusCode, name), lambda: name
    error.trailing_metadata = lambda: ()
    return error


class RetriesTest(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        for module in (connection, download):
            patch = mock.patch.object(module, "time", self.clock)
            patch.start()
            self.addCleanup(patch.stop)
        # A full queue says when to come again; without that no call is repeated.
        real = connection.from_call

        def from_call(failure):
            error = real(failure)
            if error.code == grpc.StatusCode.RESOURCE_EXHAUSTED:
                error.retry_delay = 1.0
            return error

        patch = mock.patch.object(connection, "from_call", from_call)
        patch.start()
        self.addCleanup(patch.stop)

    def delete(self, *answers, gone_is_done=True):
        """Calls with these answers in turn; returns how many were needed."""
        left, calls = list(answers), []

        def call(request, **options):
            calls.append(request)
            answer = left.pop(0)
            if answer != "OK":
                raise refusal(answer)
            return "empty"

        servers = types.SimpleNamespace(
            count=1,
            names="here",
            stub=lambda: types.SimpleNamespace(DeleteExperiment=call),
            failed=lambda stub, error: False,
        )
        made = connection.Connection(servers, connection.Token(None, None), 60, 60)
        made.call("DeleteExperiment", wire.DeleteExperimentRequest(), gone_is_done=gone_is_done)
        self.assertEqual(left, [])
        return len(calls)

    def refused(self, code, *answers, **options):
        with self.assertRaises(MentorError) as raised:
            self.delete(*answers, **options)
        self.assertEqual(raised.exception.code, getattr(grpc.StatusCode, code))

    def test_gone_after_a_lost_answer_is_deleted(self):
        self.assertEqual(self.delete("UNAVAILABLE", "NOT_FOUND"), 2)
        self.assertEqual(self.delete("DEADLINE_EXCEEDED", "NOT_FOUND"), 2)
        self.assertEqual(self.delete("UNAVAILABLE", "OK"), 2)
        self.refused("NOT_FOUND", "NOT_FOUND")
        self.refused("NOT_FOUND", "UNAVAILABLE", "NOT_FOUND", gone_is_done=False)

    def test_a_full_queue_has_deleted_nothing(self):
        self.refused("NOT_FOUND", "RESOURCE_EXHAUSTED", "NOT_FOUND")
        self.assertEqual(self.delete("RESOURCE_EXHAUSTED", "OK"), 2)
        # A lost answer stays lost, before and after.
        self.assertEqual(self.delete("UNAVAILABLE", "RESOURCE_EXHAUSTED", "NOT_FOUND"), 3)
        self.assertEqual(self.delete("RESOURCE_EXHAUSTED", "UNAVAILABLE", "NOT_FOUND"), 3)

    def fetch(self, data, piece_s, pieces=1000):
        """Downloads from streams that break after each piece of 100 bytes, which takes so many
        seconds. After so many pieces none comes any more.
        """
        size, offsets = 100, []

        def stream(method, request, *arguments):
            offsets.append(request.offset)
            self.clock.now += piece_s
            piece = data[request.offset : request.offset + size]
            if len(offsets) <= pieces:
                crc = download._crc32c(piece) if download._crc32c else 0
                yield wire.DownloadResponse(offset=request.offset, data=piece, crc32c=crc)
            if request.offset + size >= len(data) and len(offsets) <= pieces:
                yield wire.DownloadResponse(
                    size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
                )
                return
            raise MentorError(grpc.StatusCode.UNAVAILABLE, "cut")

        made = types.SimpleNamespace(stream=stream, timeout=10.0)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file"
            download.fetch(made, NAME, path)
            self.assertEqual(path.read_bytes(), data)
        return offsets

    def test_a_download_that_is_slow_and_moves_goes_on(self):
        # Twenty pieces of seven seconds each: 140 s at a timeout of 10.
        data, began = bytes(range(200)) * 10, self.clock.now
        self.assertEqual(self.fetch(data, 7.0), list(range(0, 2000, 100)))
        # A break after a piece is a first one: the pauses do not grow.
        self.assertLess(self.clock.now - began, 145)

    def test_a_download_that_stands_still_ends(self):
        for pieces in (0, 3):
            began = self.clock.now
            with self.assertRaisesRegex(MentorError, "cut"):
                self.fetch(b"x" * 1000, 1.0, pieces)
            self.assertLess(self.clock.now - began - pieces, 12 + pieces)


if __name__ == "__main__":
    unittest.main()
