"""What a run must have seen, or it has shown nothing: read from the processes' logs and metrics."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.stack import ChaosStack

RETRIES = "kuaizhao_unit_retries"
SOON = 30.0
"""Seconds after its waking in which a zombie meets the fence."""


@dataclass
class Seen:
    """How often each of the four was there."""

    fenced_zombies: int
    rebalances: int
    retries: int
    repeats: int = 0

    @property
    def missing(self) -> list[str]:
        """What this run has not shown anything about."""
        found = {
            "a fenced zombie": self.fenced_zombies,
            "a rebalance with a batch in hand": self.rebalances,
            "a transaction run again": self.retries,
            "an event published twice by the relay": self.repeats,
        }
        return [name for name, times in found.items() if not times]

    def __str__(self) -> str:
        return (
            f"{self.fenced_zombies} fenced zombies, {self.rebalances} rebalances with a batch in hand,"
            f" {self.retries} transactions run again, {self.repeats} events twice in the log"
        )


@dataclass
class Retries:
    """Counts units that ran again over all lives of all processes, by asking each every second."""

    stack: ChaosStack
    _most: dict[tuple[str, int], float] = field(default_factory=lambda: defaultdict(float))

    @property
    def total(self) -> int:
        return int(sum(self._most.values()))

    async def watch(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            while True:
                await asyncio.gather(*(self._ask(http, name) for name in self.stack.running))
                await asyncio.sleep(1)

    async def _ask(self, http: httpx.AsyncClient, name: str) -> None:
        pid = self.stack.processes[name].pid
        with suppress(httpx.HTTPError):
            lines = (await http.get(f"{self.stack.url(name)}/metrics")).text.splitlines(keepends=True)
            text = "".join(line for line in lines if RETRIES in line)  # there are hundreds of others, read every second
            for family in text_string_to_metric_families(text):
                if pid:
                    value = sum(sample.value for sample in family.samples if sample.name == f"{RETRIES}_total")
                    self._most[name, pid] = max(self._most[name, pid], value)


def seen(stack: ChaosStack, woken: Sequence[tuple[str, float]], retries: Retries) -> Seen:
    """What the logs tell; `woken` are the processes that slept, with the time (Unix seconds) of their waking."""
    fenced = sum(
        any(
            line["event"].startswith("fenced") and 0 <= _time(line) - at <= SOON
            for line in _lines(stack.processes[name].log)
        )
        for name, at in woken
    )
    rebalances = sum(
        line["event"] == "rebalance with a batch in hand"
        for name in stack.ours
        if name in stack.processes
        for line in _lines(stack.processes[name].log)
    )
    return Seen(fenced, rebalances, retries.total)


def _time(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """The structured lines of a process' log; others, of its end or start, are not ours."""
    if log.exists():
        for text in log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and "event" in line and "timestamp" in line:
                    yield line
