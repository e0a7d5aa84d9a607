"""A window waits a little for what already stands in the log, and no longer."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from services.matching import market
from services.matching.market import TOPICS, Market


def paced(behind: Iterator[int], asked: list[tuple[str, str]]) -> Market:
    def of(topic: str, key: str) -> int:
        asked.append((topic, key))
        return next(behind)

    runtime: Any = SimpleNamespace(bus=SimpleNamespace(behind=of))
    return Market(runtime)


async def test_it_waits_until_all_that_stands_in_the_log_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "GATHER_SECONDS", 1000.0)
    monkeypatch.setattr(asyncio, "sleep", _no_sleep)
    asked: list[tuple[str, str]] = []
    await paced(iter((500, 20, 0, 3, 0, 0)), asked)._gather("430102")
    assert [topic for topic, _ in asked] == [TOPICS[0], TOPICS[0], TOPICS[0], TOPICS[1], TOPICS[0], TOPICS[1]]


async def test_where_the_log_does_not_end_it_begins_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "GATHER_SECONDS", 0.0)
    asked: list[tuple[str, str]] = []
    await paced(iter((500, 500)), asked)._gather("430102")
    assert asked == [(TOPICS[0], "430102")]


async def _no_sleep(seconds: float) -> None: ...
