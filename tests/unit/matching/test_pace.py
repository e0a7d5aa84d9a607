"""A window waits a little for what already stands in the log, and no longer."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.matching import market
from services.matching.market import TOPICS, Market


class Log:
    """Each topic's end, and how far it is handled: more of it each time that somebody asks."""

    def __init__(self, *, by: int, ends: int = 500) -> None:
        self._by, self._at, self._end = by, dict.fromkeys(TOPICS, 0), dict.fromkeys(TOPICS, ends)

    def stands(self, topic: str, key: str) -> tuple[int, int]:
        at = self._at[topic]
        self._at[topic] += self._by
        self._end[topic] += self._by  # as much comes as is handled
        return at, self._end[topic] - self._by

    @property
    def least(self) -> int:
        return min(self._at.values())


def paced(log: Log) -> Market:
    runtime: Any = SimpleNamespace(bus=log)
    return Market(runtime)


async def test_it_waits_until_all_that_stood_in_the_log_is_handled_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market, "GATHER_SECONDS", 1000.0)
    monkeypatch.setattr(asyncio, "sleep", _no_sleep)
    log = Log(by=100)
    await paced(log)._gather("430102")
    assert log.least == 600  # asked at 0, 100, … and at 500, where the log ended when it began


async def test_where_the_log_is_not_handled_it_begins_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "GATHER_SECONDS", 0.0)
    log = Log(by=1)
    await paced(log)._gather("430102")
    assert log.least == 2


async def _no_sleep(seconds: float) -> None: ...
