# SPDX-License-Identifier: MIT
"""A small frame server that echoes, or lies in one chosen way: it shows that the load finds every lie.

A frame is 4 bytes of length (signed, big-endian) and that many bytes. Each lie is told once every `every` frames
of the server, counted over all its connections.
"""

import asyncio
import struct
import threading
import time

HEADER = struct.Struct(">i")


def frame(payload):
    return HEADER.pack(len(payload)) + payload


class Lies:
    """Each method answers one frame: it returns the bytes to send to the connection that sent it."""

    def __init__(self, every):
        self.every = every
        self.count = 0
        self.told = 0
        self.kept = None  # a payload of another connection, or a frame held back
        self.kept_from = None

    def due(self):
        self.count += 1
        if self.count % self.every:
            return False
        self.told += 1
        return True

    def honest(self, _connection, payload):
        return frame(payload)

    def corrupt(self, _connection, payload):
        if not self.due():
            return frame(payload)
        at = (self.told * 7919) % len(payload)  # another byte each time: header fields, checksum and body alike
        flipped = bytes([payload[at] ^ (1 << (self.told % 8))])
        return frame(payload[:at] + flipped + payload[at + 1 :])

    def truncate(self, _connection, payload):
        return frame(payload[:-1] if self.due() else payload)

    def drop(self, _connection, payload):
        return b"" if self.due() else frame(payload)

    def duplicate(self, _connection, payload):
        return frame(payload) * (2 if self.due() else 1)

    def reorder(self, connection, payload):
        """Holds a frame back until the next one of the same connection has gone (needs a pipeline)."""
        if self.kept is not None and self.kept_from is connection:
            held, self.kept, self.kept_from = self.kept, None, None
            self.told += 1
            return frame(payload) + frame(held)
        self.count += 1
        if self.kept is None and self.count % self.every == 0:
            self.kept, self.kept_from = payload, connection
            return b""
        return frame(payload)

    def swap(self, connection, payload):
        """Answers with a payload that another connection sent."""
        answer = payload
        if self.kept_from not in (None, connection) and self.due():
            answer = self.kept
        self.kept, self.kept_from = payload, connection
        return frame(answer)

    def negative_length(self, _connection, payload):
        return HEADER.pack(-1) + payload if self.due() else frame(payload)

    def huge_length(self, _connection, payload):
        return HEADER.pack(0x7FFFFFFF) + payload if self.due() else frame(payload)

    def hang_up(self, _connection, payload):
        return None if self.due() else frame(payload)


class LyingEcho:
    """Serves on a free loopback port in a thread of its own while the `with` block runs."""

    def __init__(self, lie="honest", every=50, stall_seconds=0.0):
        self.lies = Lies(every)
        self.answer = getattr(self.lies, lie)
        self.stall_seconds = stall_seconds  # the server stands still once, this long, half a second after its start
        self.port = 0
        self.frames = 0
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError("the echo server did not start")
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)

    def _serve(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._main())
        self.loop.close()

    async def _main(self):
        self.stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        if self.stall_seconds:
            self.loop.call_later(0.5, self._stall)
        await self.stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _stall(self):
        time.sleep(self.stall_seconds)

    async def _connection(self, reader, writer):
        try:
            while True:
                (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
                payload = await reader.readexactly(length)
                self.frames += 1
                answer = self.answer(writer, payload)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
