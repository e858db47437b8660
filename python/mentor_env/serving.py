"""Answers an actor's questions (environment_host.proto) one after another, until the actor ends the
program or is gone."""

from __future__ import annotations

import dataclasses
import functools
import mmap
import os
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mentor_env.environment import Environment, Facts, Refused, Step, flag, number
from mentor_env.v1 import environment_host_pb2 as wire

PROTOCOL_VERSION = 1
MESSAGE_BYTES_MAX = (4 << 20) + 65536
_HEADER = struct.Struct("<I")
_OUTCOME = struct.Struct("<d3B")


def _frame(message: wire.HostRequest | wire.HostReply) -> bytes:
    body = message.SerializeToString(deterministic=True)
    return _HEADER.pack(len(body)) + body


# The two messages of each step. They have no content.
_STEP = _frame(wire.HostRequest(step=wire.StepEpisode()))
_DONE = _frame(wire.HostReply(done=wire.Done()))


def _plain(text: str) -> str:
    """Returns the text as one line of printable ASCII."""
    return "".join(c if " " <= c <= "~" else " " for c in text)[:1500]


def _facts_message(facts: Facts) -> wire.EnvironmentFacts:
    ranges = [wire.TaskRange(low=low, high=high) for low, high in facts.parameters]
    known = {field.name: getattr(facts, field.name) for field in dataclasses.fields(Facts)}
    return wire.EnvironmentFacts(**{**known, "parameters": ranges})


class _Arrays:
    """Views of the memory that the actor shares with this process."""

    def __init__(self, layout: wire.AttachMemory, descriptor: int, facts: Facts) -> None:
        self.memory = mmap.mmap(descriptor, layout.bytes)
        os.close(descriptor)
        self.action: npt.NDArray[np.float32] = np.frombuffer(
            self.memory, "<f4", facts.action_size, layout.action
        )
        self.observation: npt.NDArray[np.float64] = np.frombuffer(
            self.memory, "<f8", facts.observation_size, layout.observation
        )
        if layout.flags != layout.reward + 8:
            raise ValueError("the flags are not behind the reward")
        self.outcome = layout.reward

    def show(self, observation: npt.ArrayLike) -> None:
        numbers = np.asarray(observation)
        if numbers.shape != self.observation.shape:
            raise ValueError(
                f"an observation has the shape {numbers.shape}; "
                f"the facts say {self.observation.shape}"
            )
        self.observation[:] = numbers


class _Server:
    def __init__(
        self, make: Callable[[Mapping[str, str]], Environment], connection: socket.socket
    ) -> None:
        self._make = make
        self._connection = connection
        self._environment: Environment | None = None
        self._arrays: _Arrays | None = None
        self._descriptors: list[int] = []

    def run(self) -> None:
        receive, send = self._connection.recv, self._connection.sendall
        while True:
            if self._arrays is None:  # A descriptor may come with the question.
                data, descriptors, _, _ = socket.recv_fds(self._connection, 65536, 4)
                self._descriptors += descriptors
            else:
                data = receive(65536)
            if data == _STEP:
                reply = self._safely(self._step)
            else:
                message = self._whole(data)
                if message is None or message.WhichOneof("question") == "close":
                    break
                reply = self._safely(functools.partial(self._answer, message))
            send(reply)
        if self._environment is not None:
            self._environment.close()

    def _whole(self, data: bytes) -> wire.HostRequest | None:
        """Returns the question that begins with data, or None if the actor is gone."""
        while data and (len(data) < 4 or len(data) < 4 + _HEADER.unpack_from(data)[0]):
            if len(data) >= 4 and _HEADER.unpack_from(data)[0] > MESSAGE_BYTES_MAX:
                raise ValueError("a question is too long")
            more = self._connection.recv(1 << 20)
            if not more:
                return None
            data += more
        if not data:
            return None
        return wire.HostRequest.FromString(data[4:])

    def _safely(self, answer: Callable[[], bytes]) -> bytes:
        try:
            return answer()
        except Refused as refused:
            return _frame(
                wire.HostReply(failure=wire.HostFailure(message=_plain(str(refused)), refused=True))
            )
        except Exception as error:  # The actor is told of every failure of the environment.
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}"
            return _frame(wire.HostReply(failure=wire.HostFailure(message=_plain(text))))

    def _step(self) -> bytes:
        environment, arrays = self._environment, self._arrays
        if environment is None or arrays is None:
            raise ValueError("step before open and attach")
        observation, reward, *flags = environment.step(arrays.action.copy())
        arrays.show(observation)
        _OUTCOME.pack_into(
            arrays.memory,
            arrays.outcome,
            number(reward, "reward"),
            *(flag(value, name) for value, name in zip(flags, Step._fields[2:])),
        )
        return _DONE

    def _show(self, observation: npt.ArrayLike) -> bytes:
        if self._arrays is None:
            raise ValueError("an episode before attach")
        self._arrays.show(observation)
        return _DONE

    def _answer(self, message: wire.HostRequest) -> bytes:
        question = message.WhichOneof("question")
        if question == "open":
            if message.open.protocol_version != PROTOCOL_VERSION:
                raise Refused(
                    f"the actor speaks version {message.open.protocol_version} of the simulators' "
                    f"protocol, this simulator {PROTOCOL_VERSION}: install mentor_env of its "
                    "release"
                )
            self._environment = self._make(
                {option.name: option.value for option in message.open.options}
            )
            return _frame(wire.HostReply(facts=_facts_message(self._environment.facts)))
        environment = self._environment
        if environment is None:
            raise ValueError(f"{question} before open")
        if question == "attach":
            if len(self._descriptors) != 1:
                raise ValueError(f"attach with {len(self._descriptors)} descriptors")
            self._arrays = _Arrays(message.attach, self._descriptors.pop(), environment.facts)
        elif question == "set_task":
            environment.set_task(list(message.set_task.parameters), message.set_task.goal_visible)
        elif question == "reset":
            return self._show(environment.reset(int.from_bytes(message.reset.seed, "little")))
        elif question == "step":
            return self._step()
        elif question == "save":
            return _frame(wire.HostReply(state=wire.SavedState(state=environment.save())))
        elif question == "restore":
            return self._show(environment.restore(message.restore.state))
        else:
            raise ValueError(f"the question {question} is not known to this host")
        return _DONE


def serve(make: Callable[[Mapping[str, str]], Environment]) -> None:
    """Serves the environments that `make` builds from a spec's options, until the actor is done.
    `make` raises Refused for options that it does not accept."""
    number = os.environ.pop("MENTOR_HOST_SOCKET", "")
    if not number.isdigit():
        sys.exit(
            "a simulator is started by an actor: mentor-actor --simulator NAME='COMMAND', or "
            "tried with mentor env check --simulator NAME='COMMAND'"
        )
    connection = socket.socket(fileno=int(number))
    connection.set_inheritable(False)
    try:
        _Server(make, connection).run()
    except (BrokenPipeError, ConnectionResetError):
        pass  # The actor is gone.
