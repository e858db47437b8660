"""The servers of which one leads, as users name them: "a:50052,b:50052". Threads may share it."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, Optional

import grpc

from .errors import MentorError
from .v1 import bundle_service_pb2_grpc, experiment_service_pb2_grpc

# An address that has just failed is tried after the others for so long. A server that stands by
# names a leader that is gone until somebody has taken over.
_BROKEN_S = 1.0
_SILENT_S = 3.0  # One that did not answer in time: it may have been stopped.


class Servers:
    """Only addresses that the user named are called, whatever a server says: calls carry
    credentials."""

    def __init__(self, addresses: List[str], open_one: Callable[[str], grpc.Channel]):
        self._addresses = addresses
        self._open = open_one
        self._lock = threading.Lock()
        self._broken_until = [0.0] * len(addresses)
        self._current = 0
        self.count = len(addresses)
        self.names = ",".join(addresses)
        self._channels = [open_one(address) for address in addresses]
        self._stubs = [self._stub(channel) for channel in self._channels]
        self._retired: List[grpc.Channel] = []  # Calls may still be on them.

    @staticmethod
    def _stub(channel: grpc.Channel) -> Any:
        stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)  # type: ignore
        # The methods of both services have different names.
        vars(stub).update(vars(bundle_service_pb2_grpc.BundleServiceStub(channel)))  # type: ignore
        return stub

    def stub(self) -> Any:
        with self._lock:
            return self._stubs[self._current]

    def close(self) -> None:
        with self._lock:
            for channel in self._channels + self._retired:
                channel.close()

    def failed(self, stub: Any, error: MentorError) -> bool:
        """A call of `stub` has failed: the next one may go elsewhere. True: at once, to the one
        that leads as was said."""
        if error.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return False
        with self._lock:
            if stub is not self._stubs[self._current]:
                return False  # Another thread has gone on already.
            not_leader = error.reason == "NOT_LEADER"
            now = time.monotonic()
            alone = len(self._addresses) == 1
            # Without a reason it is the connection: a channel that was refused would wait for long
            # before it tries again. And behind one name may be several servers.
            if not_leader and alone or not error.reason:
                self._renew(self._current)
            if alone:
                return False
            silent = error.code == grpc.StatusCode.DEADLINE_EXCEEDED
            span = _SILENT_S if silent else _BROKEN_S
            self._broken_until[self._current] = 0.0 if not_leader else now + span
            leader = error.metadata.get("leader") if not_leader else None
            self._current = self._next(leader, now)
            return leader == self._addresses[self._current]

    def _next(self, leader: Optional[str], now: float) -> int:
        def until(index: int) -> float:
            return max(now, self._broken_until[index])

        if leader in self._addresses:
            index = self._addresses.index(leader)
            if index != self._current and until(index) == now:
                return index
        others = ((self._current + step) % self.count for step in range(1, self.count + 1))
        return min(others, key=until)

    def _renew(self, index: int) -> None:
        if len(self._retired) >= 4:
            self._retired.pop(0)  # It ends with the last call on it.
        self._retired.append(self._channels[index])
        self._channels[index] = self._open(self._addresses[index])
        self._stubs[index] = self._stub(self._channels[index])
