"""What processes take: processor seconds between two moments, and memory."""

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

import psutil

from deploy.local.stack import Stack

BENCH = "bench"
"""This process: who posts, checks in and listens."""


class Spent(NamedTuple):
    """Processor seconds by process, those of everybody else on the machine, and all that there were."""

    by: dict[str, float]
    others: float
    seconds: float
    cores: int

    @property
    def foreign(self) -> float:
        """The part of the machine that others took meanwhile."""
        return self.others / (self.seconds * self.cores)


class Clock:
    """Reads what the processes of a stack, and this one, have taken since it was made."""

    def __init__(self, stack: Stack) -> None:
        self._processes = _processes(stack)
        self._began, self._before, self._busy = time.monotonic(), self._read(), _busy()

    def spent(self) -> Spent:
        by = {name: seconds - self._before[name] for name, seconds in self._read().items()}
        others = _busy() - self._busy - sum(by.values())
        return Spent(by, max(0.0, others), time.monotonic() - self._began, os.cpu_count() or 1)

    def _read(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}


class Memory(NamedTuple):
    """Bytes: all that is in memory, and that with what is shared divided among those who share it."""

    resident: int
    proportional: int


def memory(stack: Stack) -> Mapping[str, Memory]:
    """Of each process of a stack."""
    found = {}
    for name, process in _processes(stack).items():
        if name != BENCH:
            info = process.memory_full_info()
            found[name] = Memory(info.rss, info.pss)
    return found


def _processes(stack: Stack) -> dict[str, psutil.Process]:
    running = {name: psutil.Process(process.pid) for name, process in stack.processes.items() if process.pid}
    return running | {BENCH: psutil.Process()}


def _busy() -> float:
    """Processor seconds that the machine has worked since it was started."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)
