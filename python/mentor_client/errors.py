"""Errors, with everything that the server says about them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Type

import grpc

from .rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from .experiment import Experiment

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True)
class Violation:
    """A wrong field of a request, and the remedy."""

    field: str
    description: str


class MentorError(Exception):
    """A call that failed.

    code         grpc.StatusCode: what kind of failure it is
    reason       word for programs, for instance "NOT_FOUND" (docs/errors.md lists them); "" when
                 the server gave none
    message      sentence for people
    violations   wrong fields of the request
    metadata     facts beside the reason
    retry_delay  seconds after which it may help to try again; None when the server named none
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        violations: Optional[List[Violation]] = None,
        metadata: Optional[Dict[str, str]] = None,
        retry_delay: Optional[float] = None,
    ):
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = violations or []
        self.metadata = metadata or {}
        self.retry_delay = retry_delay
        lines = [f"{reason or code.name}: {message}"]
        lines += [
            f"  {violation.field} {violation.description}"
            for violation in self.violations
            if violation.description not in message
        ]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.__dict__, self.args)


def _rebuild(kind: Type[MentorError], state: Dict[str, Any], arguments: Any) -> MentorError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = arguments
    return error


class MentorTimeout(MentorError, TimeoutError):
    """The caller's timeout is over; the experiment continues."""

    def __init__(self, message: str):
        super().__init__(grpc.StatusCode.DEADLINE_EXCEEDED, message)


class ExperimentEnded(MentorError):
    """An experiment ended in another final state than the one waited for. `experiment` is that
    experiment; reason, message and metadata say why it failed, if it did.
    """

    def __init__(self, experiment: "Experiment"):
        self.experiment = experiment
        why = from_status(experiment.proto.error) if experiment.proto.HasField("error") else None
        message = f"{experiment.name} is {experiment.state}" + (
            f": {why.message}" if why and why.message else ""
        )
        super().__init__(
            grpc.StatusCode.FAILED_PRECONDITION,
            message,
            reason=why.reason if why else "",
            metadata=why.metadata if why else None,
        )


def from_status(status: status_pb2.Status) -> MentorError:
    """Returns the error that a google.rpc.Status describes. Details of unknown kinds are left
    out."""
    reason, metadata, retry_delay = "", {}, None
    violations: List[Violation] = []
    for detail in status.details:
        kind = detail.type_url.rpartition("/")[2]
        try:
            if kind == "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                reason, metadata = info.reason, dict(info.metadata)
            elif kind == "google.rpc.BadRequest":
                request = error_details_pb2.BadRequest.FromString(detail.value)
                violations += [
                    Violation(one.field, one.description) for one in request.field_violations
                ]
            elif kind == "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_delay = delay.seconds + delay.nanos / 1e9
        except Exception:  # Undecodable bytes: the code and the sentence are still right.
            continue
    return MentorError(
        _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
        status.message,
        reason=reason,
        violations=violations,
        metadata=metadata,
        retry_delay=retry_delay,
    )


def from_call(error: grpc.RpcError) -> MentorError:
    """Returns the error of a call, from its code, its sentence and grpc-status-details-bin."""
    status = status_pb2.Status()
    trailer: Any = error.trailing_metadata()
    for key, value in trailer or ():
        if key == "grpc-status-details-bin":
            try:
                status.ParseFromString(value)
            except Exception:
                status.Clear()
    code: grpc.StatusCode = error.code()
    status.code = code.value[0]
    status.message = error.details() or status.message
    return from_status(status)


def usage(field: str, description: str) -> MentorError:
    """A wrong argument, found before any call."""
    return MentorError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{field} {description}",
        reason="INVALID_FIELD",
        violations=[Violation(field, description)],
    )
