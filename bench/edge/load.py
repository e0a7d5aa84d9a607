"""A client that asks as fast as it is answered, over so many connections, and costs little itself: no HTTP library."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson


class Loaded(NamedTuple):
    """What a load came to. `seconds` is one request's time, for each; `spent_s` the client's own processor time."""

    took_s: float
    spent_s: float
    seconds: list[float]

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.took_s


class Unexpected(Exception):
    """An answer of another kind than was asked for."""


def post(address: str, token: str, body: object) -> bytes:
    """A request as it goes over the wire."""
    parts, content = urlsplit(address), orjson.dumps(body)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def load(gateway: str, requests: Sequence[bytes], *, connections: int, status: int = 201) -> Loaded:
    """Send each request once. Raises `Unexpected` at the first answer with another status."""
    parts, left, seconds = urlsplit(gateway), iter(requests), list[float]()
    began, spent = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_ask(parts.hostname or "", parts.port or 80, left, seconds, b" %d " % status))
    return Loaded(time.perf_counter() - began, time.process_time() - spent, seconds)


async def _ask(host: str, port: int, left: Iterator[bytes], seconds: list[float], status: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for request in left:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            seconds.append(time.perf_counter() - began)
            if status not in head[:16]:
                raise Unexpected(f"{head[:16]!r} {body[:300]!r}")
    finally:
        writer.close()


def _length(head: bytes) -> int:
    name = b"\r\ncontent-length: "
    at = head.index(name) + len(name)
    return int(head[at : head.index(b"\r", at)])
