"""A small provider on a real port, of SMS, voice or what is posted, which does what a test asks of it."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

Turn = int | Literal["hang", "cut", "taken-but-cut", "answer-twice"]
"""An HTTP status; no answer at all; a closed connection; the message taken and the connection closed; two answers."""


class Sink:
    """`asked` is every request in order, `passed_on` what reached a phone: once for each idempotency key.

    `heads` and `raw` are the requests as they came, `reads` makes a body of one, `says` is the body of each answer.
    Without `knows_keys` it passes on whatever it is asked, as a provider does that knows no idempotency keys.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.passed_on: dict[str, dict[str, Any]] = {}
        self.turns: deque[Turn] = deque()
        self.headers: dict[str, str] = {}
        self.heads: list[str] = []
        self.raw: list[bytes] = []
        self.says = b""
        self.reads: Callable[[str, bytes], dict[str, Any]] = lambda head, raw: json.loads(raw)
        self.knows_keys = True
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def asked_by_key(self) -> Counter[str]:
        return Counter(_key(body) for body in self.asked)

    def _take(self, body: dict[str, Any]) -> None:
        key = _key(body)
        self.passed_on.setdefault(key if self.knows_keys else f"{key} {len(self.passed_on)}", body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        raw = await reader.readexactly(length)
        body = self.reads(head, raw)
        self.heads.append(head)
        self.raw.append(raw)
        self.asked.append(body)
        turn: Turn = self.turns.popleft() if self.turns else 200
        if turn == "hang":
            await reader.read()
            return False
        if turn in (200, "taken-but-cut", "answer-twice"):
            self._take(body)
        if turn in ("cut", "taken-but-cut"):
            return False
        status = turn if isinstance(turn, int) else 200
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        answer = f"HTTP/1.1 {status} Some\r\ncontent-length: {len(self.says)}\r\n{extra}\r\n".encode() + self.says
        writer.write(answer * 2 if turn == "answer-twice" else answer)
        await writer.drain()
        return True

    def close(self) -> None:
        for writer in self._open:
            writer.close()


def _key(body: dict[str, Any]) -> str:
    return str(body.get("idempotency_key") or body.get("id"))


@asynccontextmanager
async def sms_sink() -> AsyncIterator[Sink]:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sms"
    async with server:
        yield sink
        sink.close()
