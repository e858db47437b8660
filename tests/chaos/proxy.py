"""A TCP proxy with faults, for what the kernel cannot do without netem: delay, throttle, half-open
connections, cuts. It keeps the order of bytes, as TCP does. Standard library only."""

import asyncio
import contextlib
import socket
import struct
import threading
import time

PIECE = 16384


class Loop:
    """One thread that serves all proxies of a test."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self):
        async def cancel():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Proxy:
    """A proxy between clients and one server. Its faults are attributes that may change at any
    time."""

    def __init__(self, loop, target):
        self.loop = loop
        self.host, port = target.rsplit(":", 1)
        self.port = int(port)
        self.heal()
        self.writers = set()
        self.server = loop.call(self._start())
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    def heal(self):
        self.delay_s = 0  # Each way.
        self.bytes_per_s = 0  # 0: without a limit.
        self.stalled = set()  # "up", "down": bytes of this direction wait.
        self.refuses = False  # New connections.

    def cut(self):
        """Ends all connections, as a router does that forgets them."""
        self.loop.loop.call_soon_threadsafe(self._cut)

    def close(self):
        async def stop():
            self._cut()
            self.server.close()

        self.loop.call(stop())

    async def _start(self):
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def _cut(self):
        for writer in list(self.writers):
            self._reset(writer)

    @staticmethod
    def _reset(writer):
        sock = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _serve(self, reader, writer):
        if self.refuses:
            return self._reset(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return self._reset(writer)
        pair = {writer, far_writer}
        self.writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down")
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader, writer, way):
        line = asyncio.Queue(64)  # Pairs (due time, bytes): a delay keeps the pipe full.

        async def take():
            due = 0
            with contextlib.suppress(OSError):
                while data := await reader.read(PIECE):
                    due = max(due, time.monotonic() + self.delay_s)
                    if self.bytes_per_s:
                        due += len(data) / self.bytes_per_s
                    await line.put((due, data))
            await line.put((0, b""))

        task = asyncio.create_task(take())
        try:
            while True:
                due, data = await line.get()
                await asyncio.sleep(due - time.monotonic())
                while way in self.stalled:
                    await asyncio.sleep(0.05)
                if not data:
                    raise ConnectionError  # gRPC cannot use half a connection.
                writer.write(data)
                await writer.drain()
        finally:
            task.cancel()
