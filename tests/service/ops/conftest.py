"""The command line as an operator has it, and a market of four services that hear one another."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ops.__main__ import run
from shared import clock
from shared.testing import Harness
from tests.service.shared.conftest import ledger  # noqa: F401 - a fixture


@dataclass
class Answer:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Kuaizhao = Callable[..., Awaitable[Answer]]


@pytest.fixture
def kuaizhao(
    mongo_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Answer]]:
    monkeypatch.setenv("KUAIZHAO_MONGO_URL", mongo_url)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)

    async def command(*arguments: str) -> Answer:
        capsys.readouterr()

        def caught() -> int:
            try:
                return run(arguments)
            except SystemExit as ended:  # argparse's own way out
                return int(ended.code or 0)

        code = await asyncio.to_thread(caught)
        return Answer(code, *capsys.readouterr())

    return command


@dataclass
class Market:
    """Services on databases and one clock of their own; `flow` carries what they say, as Kafka would."""

    posting: Harness
    workers: Harness
    matching: Harness
    rights: Harness

    @property
    def all(self) -> dict[str, Harness]:
        return {"posting": self.posting, "workers": self.workers, "matching": self.matching, "rights": self.rights}

    def db(self, service: str) -> Any:
        return self.all[service].runtime.store.db

    def advance(self, **parts: float) -> None:
        self.matching.clock.advance(**parts)

    async def flow(self) -> None:
        """Deliver until nobody has anything more to say."""
        while sum([await self._carry(name) for name in self.all]):
            pass

    async def _carry(self, speaker: str) -> int:
        rows = await self.db(speaker)["_outbox"].find({}, sort=[("stream", 1), ("sequence", 1)]).to_list()
        for listener in self.all.values():
            kinds = listener.runtime.service.reactions.kinds
            for topic in sorted({row["topic"] for row in rows}):
                heard = [row for row in rows if row["topic"] == topic and row["headers"].get("ce_type") in kinds]
                letters = [listener.letter(topic, row["body"], **row["headers"]) for row in heard]
                if letters:
                    await listener.receives_letters(*letters, topic=topic)
        await self.db(speaker)["_outbox"].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
        return len(rows)


@pytest.fixture
def market(posting: Harness, workers: Harness, matching: Harness, rights: Harness) -> Market:
    clock.set_source(lambda: matching.clock.now)
    return Market(posting, workers, matching, rights)
