"""What the clients did: each command as it was called and how it ended, as clients know it (Jepsen's history)."""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

Status = Literal["unknown", "ok", "failed"]
"""`unknown`: nothing was heard, so it was done once or not at all. `failed`: the market said no."""


@dataclass
class Call:
    """One command under one idempotency key, however often it was sent. Times are Unix seconds.

    `unheard` counts the sends of which nothing was heard, or that the market had trouble with: each may still have its
    effect, also when a later one was refused. `other` is a second answer that was not like the first.
    """

    n: int
    client: str
    command: str
    key: str
    facts: dict[str, Any]
    called: float
    status: Status = "unknown"
    ended: float = 0.0
    sent: int = 0
    unheard: int = 0
    code: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    other: dict[str, Any] | None = None

    @property
    def may_be_done(self) -> bool:
        """Whether it may have had its effect although the client does not know of it."""
        return self.status == "unknown" or (self.status == "failed" and self.unheard > 0)


class History:
    """All calls in the order in which they were called; each is also a JSON line once it has ended."""

    def __init__(self, path: Path) -> None:
        self.calls: list[Call] = []
        self.wrong: list[str] = []
        """What a client saw and should not have seen: an answer without what was confirmed before."""
        self._file = path.open("ab")

    def __str__(self) -> str:
        times = Counter(call.status for call in self.calls)
        again = sum(max(0, call.sent - 1) for call in self.calls)
        return f"{len(self.calls)} calls ({times['ok']} ok, {times['failed']} refused, {again} sent again)"

    def call(self, client: str, command: str, key: str, facts: dict[str, Any]) -> Call:
        call = Call(len(self.calls), client, command, key, facts, time.time())
        self.calls.append(call)
        return call

    def ended(self, call: Call, status: Status, *, code: str = "", answer: dict[str, Any] | None = None) -> None:
        call.status, call.code, call.answer, call.ended = status, code, answer or {}, time.time()
        self._file.write(orjson.dumps(asdict(call)) + b"\n")

    def ok(self, *commands: str) -> list[Call]:
        """The calls of these commands whose answer was yes."""
        return [call for call in self.calls if call.status == "ok" and call.command in commands]

    def close(self) -> None:
        """Write what was never answered too, and close."""
        for call in self.calls:
            if call.status == "unknown":
                self._file.write(orjson.dumps(asdict(call)) + b"\n")
        self._file.close()
