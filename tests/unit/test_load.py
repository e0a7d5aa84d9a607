"""The client that loads the edge: each request once, each answer looked at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
import pytest

from bench.edge import p99
from bench.edge.load import Unexpected, load, post


@asynccontextmanager
async def server(status: bytes, seen: list[bytes]) -> AsyncIterator[str]:
    """Answers every request with this status, in two pieces, and keeps connections open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the client has closed
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].split(b"\r")[0])
                seen.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 11\r\n\r\n{")
                await writer.drain()
                writer.write(b'"ok": true}')

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_each_request_is_sent_once_over_so_many_connections() -> None:
    seen: list[bytes] = []
    async with server(b"201 Created", seen) as address:
        asked = [post(f"{address}/api/things", "a-token", {"number": number}) for number in range(50)]
        found = await load(address, asked, connections=4)
    assert sorted(orjson.loads(body)["number"] for body in seen) == list(range(50))
    assert len(found.seconds) == 50
    assert found.rate == pytest.approx(50 / found.took_s)


async def test_an_answer_of_another_kind_ends_the_load() -> None:
    async with server(b"503 Service Unavailable", []) as address:
        with pytest.raises(ExceptionGroup) as failed:
            await load(address, [post(f"{address}/api/things", "a-token", {})], connections=1)
    assert failed.group_contains(Unexpected, match="503")


def test_the_99th_of_a_hundred() -> None:
    assert p99([float(n) for n in range(100, 0, -1)]) == 99
    assert p99([7.0]) == 7
