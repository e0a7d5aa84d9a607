"""An insurer on a real port, which records what it is asked and does what a test asks of it."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

Turn = int | Literal["hang", "cut", "taken-but-cut", "answer-twice", "garbage", "of-another", "no-number", "no-code"]
"""An HTTP status; no answer; a closed connection; taken, and closed; two answers; three that are no answer; a refusal
without its reason."""


class RecordingInsurer:
    """`asked` is every request in order; `covered` and `withdrawn` are its books, one entry for each key.

    Without `knows_keys` it enters whatever it is asked, as an insurer does that knows no idempotency keys.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.covered: dict[str, dict[str, Any]] = {}
        self.withdrawn: dict[str, dict[str, Any]] = {}
        self.turns: deque[Turn] = deque()
        self.knows_keys = True
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def asked_by_key(self) -> Counter[str]:
        return Counter(key for _, key, _ in self.asked)

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
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        what, key = head.split()[1].rpartition("/")[2], headers["idempotency-key"]
        self.asked.append((what, key, body))
        turn: Turn = self.turns.popleft() if self.turns else 200
        if turn == "hang":
            await reader.read()
            return False
        if turn in (200, "taken-but-cut", "answer-twice", "garbage", "of-another", "no-number"):
            books = self.covered if what == "enrolments" else self.withdrawn
            books.setdefault(key if self.knows_keys else f"{key} {len(books)}", body)
        if turn in ("cut", "taken-but-cut"):
            return False
        said: Any = {"reference": body["reference"], "policy_id": f"P-{body['reference']}"}
        match turn:
            case "of-another":
                said["reference"] = "another"
            case "no-number":
                said = {"reference": "another"}
            case 400 | 409 | 422:
                said = {"code": "occupation-not-covered"}
            case "no-code":
                said = {"code": "Some free text, of a person"}
        content = b"<html>" if turn == "garbage" else json.dumps(said).encode()
        status = turn if isinstance(turn, int) else 422 if turn == "no-code" else 200
        answer = f"HTTP/1.1 {status} Some\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
        writer.write(answer * 2 if turn == "answer-twice" else answer)
        await writer.drain()
        return True

    def close(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def recording_insurer() -> AsyncIterator[RecordingInsurer]:
    insurer = RecordingInsurer()
    server = await asyncio.start_server(insurer.serve, "127.0.0.1", 0)
    insurer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/insurer"
    async with server:
        yield insurer
        insurer.close()
