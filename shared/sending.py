"""Handing things to providers, which are services of others: what can go wrong, and when it is worth another try.

    claim (a unit) ─► send (outside every transaction) ─► mark (a unit)

A claim moves the due time on by `LEASE`: what a process died with falls due again, and is sent again under the same
idempotency key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Literal, TypeVar

from shared.tasks import end_tasks

T = TypeVar("T")

LANES = 4
AT_ONCE = 25
IDLE_SECONDS = 0.25
LEASE = timedelta(seconds=30)

Trouble = Literal["timeout", "unreachable", "broken", "busy", "misconfigured"]
"""Why a provider could not take something now: `broken` answered with its own fault, `busy` asked us to come later,
`misconfigured` does not know us or the address of its service."""

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
BUSY_PAUSE = timedelta(seconds=30)
MISCONFIGURED_PAUSE = timedelta(minutes=1)


class Retry(Exception):
    """It was not taken now and may be later; whether it was taken after all is not known.

    `asked_seconds` is how long the provider asked us to wait, if it did.
    """

    def __init__(self, trouble: Trouble, asked_seconds: float | None = None) -> None:
        super().__init__(trouble)
        self.trouble, self.asked_seconds = trouble, asked_seconds


def pause(trouble: Trouble, attempts: int, asked_seconds: float | None) -> timedelta:
    """How long to wait after the `attempts`-th attempt: as the provider asked, or longer each time up to a limit."""
    match trouble:
        case "misconfigured":
            return MISCONFIGURED_PAUSE
        case "busy":
            asked = BUSY_PAUSE if asked_seconds is None else timedelta(seconds=asked_seconds)
            return min(max(asked, FIRST_PAUSE), LONGEST_PAUSE)
        case _:
            return min(FIRST_PAUSE * (1 << min(attempts - 1, 16)), LONGEST_PAUSE)


def check(status: int, retry_after: str | None = None) -> bool:
    """Whether an HTTP answer took what was asked; False when it never will.

    `retry_after` is the answer's header. Raises `Retry` for what may be taken later.
    """
    if 200 <= status < 300:
        return True
    if status in (408, 425, 429, 503):
        raise Retry("busy", _seconds(retry_after))
    if status >= 500:
        raise Retry("broken")
    if status < 400 or status in (401, 403, 404, 405, 407):
        raise Retry("misconfigured")
    return False


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds (RFC 9110, 10.2.3); its form as a date is not understood, and so left aside."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


async def send_in_lanes(
    claim: Callable[[], Awaitable[Sequence[T]]], send: Callable[[Sequence[T]], Awaitable[None]]
) -> None:
    """Claim and send for ever. Lanes send side by side, and look for work one at a time."""
    turn = asyncio.Lock()

    async def lane() -> None:
        while True:
            async with turn:
                claimed = await claim()
                if not claimed:
                    await asyncio.sleep(IDLE_SECONDS)
            await send(claimed)

    lanes = [asyncio.create_task(lane()) for _ in range(LANES)]
    try:
        await asyncio.gather(*lanes)
    finally:
        await end_tasks(*lanes)
