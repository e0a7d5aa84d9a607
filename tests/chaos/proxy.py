"""A TCP proxy in front of one server as one process sees it, whose link can be cut, delayed or half closed.

Nothing that was taken is thrown away and nothing is made up, as with a real network: what a fault holds back is
delivered when it heals, or the connection is reset.
"""

import asyncio
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Self, TypeVar

import uvloop

T = TypeVar("T")

Mode = Literal["up", "refuse", "blackhole", "latency", "half-open", "lost"]
"""`up`: as if it were not there. `refuse`: open connections are reset, new ones too. `blackhole`: connections stand
open, nothing passes. `latency`: what passes is late. `half-open`: requests pass, answers do not. `lost`: a blackhole
that ends with a reset, so that what was sent meanwhile never arrives."""

CHUNK = 64 * 1024
BUFFERED = 256 * 1024

Backends = Callable[[], Sequence[int]]


class Wires:
    """A thread in which proxies copy bytes, on uvloop, where that costs a third.

    It is not the loop of the run: httpx (by anyio) raises what is no error of HTTP when a connection that uvloop has
    just made is closed at once.
    """

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)

    def __enter__(self) -> Self:
        sys.setswitchinterval(0.001)  # bytes do not wait long for the other thread's Python
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something over there, and wait for it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def soon(self, do: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(do)


class Proxy:
    """One link: a port on loopback whose connections go to one of the ports that `backends` gives at that time.

    All but `set` happens in the thread of the wires.
    """

    def __init__(self, name: str, backends: Backends, *, wires: Wires, port: int, seed: int = 0) -> None:
        self.name, self.port = name, port
        self._wires = wires
        self.mode: Mode = "up"
        self.delay = 0.0
        self._backends = backends
        self._chance = random.Random(f"{seed}:{name}")
        self._open = asyncio.Event()
        self._open.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0

    async def __aenter__(self) -> Self:
        await self._wires.run(self._start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wires.run(self._stop())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=BUFFERED)

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
        self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, mode: Mode, *, delay: float = 0.3) -> None:
        """Change how the link behaves from now on; `delay` is that of `latency`, in seconds each way."""
        self._wires.soon(partial(self._set, mode, delay))

    def _set(self, mode: Mode, delay: float) -> None:
        if mode == "refuse" or self.mode == "lost":
            self._reset()
        self.mode = mode
        self.delay = delay if mode == "latency" else 0.0
        nothing = mode in {"blackhole", "lost"}
        for gate, shut in ((self._open, nothing), (self._answers, nothing or mode == "half-open")):
            gate.clear() if shut else gate.set()

    def _reset(self) -> None:
        """Reset every connection there is (RST: both ends know at once)."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.mode == "refuse":
                return
            await self._open.wait()
            there, back = await self._connect()
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, back, self._open))
                    group.create_task(self._pump(there, writer, self._answers))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the next backend that takes one. Raises OSError when none does."""
        ports = list(self._backends())
        for _ in ports:
            self._next += 1
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", ports[self._next % len(ports)], limit=BUFFERED)
        raise ConnectionRefusedError(self.name)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while chunk := await reader.read(CHUNK):
            if self.delay:
                await asyncio.sleep(self.delay * self._chance.uniform(0.5, 1.5))
            await gate.wait()
            if writer.transport.is_closing():
                return
            writer.write(chunk)
            await writer.drain()
        if not writer.transport.is_closing() and writer.can_write_eof():
            writer.write_eof()
