"""An actor's side of the protocol of environment_host.proto: starts a program that serves
environments, and asks it. For tests; the actor's own is envs/host/."""

import mmap
import os
import socket
import struct
import subprocess

import numpy as np

from mentor_env.v1 import environment_host_pb2 as wire


class HostFailed(Exception):
    pass


class Host:
    def __init__(self, command, options, variables=None):
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env={
                **os.environ,
                **(variables or {}),
                "MENTOR_HOST_SOCKET": str(theirs.fileno()),
            },
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        request = wire.HostRequest(open=wire.OpenEnvironment(protocol_version=1))
        for name, value in options.items():
            request.open.options.add(name=name, value=value)
        self.facts = self.ask(request).facts
        size, numbers = self.facts.observation_size, self.facts.action_size
        observation = (4 * numbers + 7) // 8 * 8
        reward = observation + 8 * size
        layout = wire.AttachMemory(
            bytes=reward + 16, action=0, observation=observation, reward=reward, flags=reward + 8
        )
        descriptor = os.memfd_create("host")
        os.ftruncate(descriptor, layout.bytes)
        self.memory = mmap.mmap(descriptor, layout.bytes)
        self.action = np.frombuffer(self.memory, "<f4", numbers, 0)
        self.observation = np.frombuffer(self.memory, "<f8", size, observation)
        self.outcome = reward
        self.ask(wire.HostRequest(attach=layout), [descriptor])
        os.close(descriptor)
        task = wire.SetHostTask(
            parameters=[(range.low + range.high) / 2 for range in self.facts.parameters]
        )
        self.ask(wire.HostRequest(set_task=task))

    def ask(self, request, descriptors=()):
        body = request.SerializeToString()
        frame = struct.pack("<I", len(body)) + body
        if descriptors:
            socket.send_fds(self.socket, [frame], list(descriptors))
        else:
            self.socket.sendall(frame)
        return self.answer()

    def answer(self):
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack_from("<I", data)[0]:
            more = self.socket.recv(1 << 20)
            if not more:
                raise HostFailed(f"the host has ended ({self.process.wait(10)})")
            data += more
        reply = wire.HostReply.FromString(data[4:])
        if reply.HasField("failure"):
            raise HostFailed(reply.failure.message)
        return reply

    def reset(self, seed):
        self.ask(wire.HostRequest(reset=wire.ResetEpisode(seed=seed.to_bytes(16, "little"))))
        return self.observation.copy()

    def step(self, action):
        self.action[:] = action
        self.ask(wire.HostRequest(step=wire.StepEpisode()))
        reward, success, terminated, truncated = struct.unpack_from(
            "<d3B", self.memory, self.outcome
        )
        return self.observation.copy(), reward, success, terminated, truncated

    def save(self):
        return self.ask(wire.HostRequest(save=wire.SaveEpisode())).state.state

    def restore(self, state):
        self.ask(wire.HostRequest(restore=wire.RestoreEpisode(state=state)))
        return self.observation.copy()

    def close(self):
        body = wire.HostRequest(close=wire.CloseEnvironment()).SerializeToString()
        self.socket.sendall(struct.pack("<I", len(body)) + body)
        self.socket.close()
        return self.process.wait(10)
