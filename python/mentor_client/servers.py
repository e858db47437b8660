"""Servers of which one leads, as users name them: "a:50052,b:50052". Thread-safe."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, Optional

import grpc

from .errors import MentorError
from .v1 import bundle_service_pb2_grpc, experiment_service_pb2_grpc

# A failed address is tried after the others for this long. A standby names a lost leader until
# another server has taken over.
_BROKEN_S = 1.0
_SILENT_S = 3.0  # After a timeout: the server may have been stopped.


class Servers:
    """Calls only addresses that the user named, whatever a server says, because calls carry
    credentials.
    """

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
        self._retired: List[grpc.Channel] = []  # Calls may still use these.

    @staticmethod
    def _stub(channel: grpc.Channel) -> Any:
        stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)  # type: ignore
        # The methods of the two services have different names.
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
        """Records the failure of a call of `stub`; the next call may go elsewhere. True if the call
        can be repeated at once, to the leader that the server named.
        """
        if error.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return False
        with self._lock:
            if stub is not self._stubs[self._current]:
                return False  # Another thread has moved on already.
            not_leader = error.reason == "NOT_LEADER"
            now = time.monotonic()
            alone = len(self._addresses) == 1
            # An error without a reason comes from the connection. A refused channel would wait long
            # before it reconnects, and one name may stand for several servers.
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
            self._retired.pop(0)  # The channel closes with its last call.
        self._retired.append(self._channels[index])
        self._channels[index] = self._open(self._addresses[index])
        self._stubs[index] = self._stub(self._channels[index])
