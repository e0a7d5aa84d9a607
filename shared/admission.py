"""Who is let in when more is asked than a process can answer: what people do goes before what they look at.

A request too many would not be answered sooner for being taken: it would make all wait. So beyond a number of requests
under way reads are refused at once, with 429 and Retry-After (RFC 6585, 4), and beyond a much greater one commands too.
Events have no such limit: they wait in Kafka.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.problems import Problem, Text
from shared.telemetry import METRICS

AGAIN_SECONDS = 2

CROWDED = Text(
    "Too many people are here at once. What is under way goes on; try again in {retry_after} s.",
    "当前访问的人太多，正在办理的不受影响，请 {retry_after} 秒后再试。",
)


class Admission:
    """Counts the requests that a process has under way."""

    def __init__(self, service: str, *, reads: int, commands: int) -> None:
        self._service, self._reads, self._commands = service, reads, commands
        self.under_way = 0

    @contextmanager
    def let_in(self, *, reading: bool) -> Iterator[None]:
        """Count a request during the block. Raises a 429 `Problem` when too many are under way for one of its kind."""
        if self.under_way >= (self._reads if reading else self._commands):
            METRICS.turned_away.labels(self._service, "read" if reading else "command").inc()
            raise Problem(429, "crowded", CROWDED, retry_after=AGAIN_SECONDS)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
