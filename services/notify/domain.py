"""The rules of notify: what identifies a message, how an address is shown, and when a failed sending is tried again."""

from datetime import timedelta
from typing import Literal

from shared.contracts import Event

Trouble = Literal["timeout", "unreachable", "broken", "busy", "misconfigured"]
"""Why a channel could not take a message now: `broken` answered with its own fault, `busy` asked us to come later,
`misconfigured` does not know us or the address of its service."""

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
BUSY_PAUSE = timedelta(seconds=30)
MISCONFIGURED_PAUSE = timedelta(minutes=1)


def kind_of(event: Event) -> str:
    """An event's name without its service and version: `offer-made` of `matching.offer-made.v1`."""
    return event.type.split(".")[1]


def about(event: Event) -> str:
    """What a message is about: `<kind>:<subject>`, the same each time that the event comes."""
    return f"{kind_of(event)}:{event.subject}"


def masked(address: str) -> str:
    """A phone number as it may be shown: +86199****0001."""
    return f"{address[:-8]}****{address[-4:]}"


def pause(trouble: Trouble, attempts: int, asked_seconds: float | None) -> timedelta:
    """How long to wait after the `attempts`-th attempt: as the channel asked, or longer each time up to a limit."""
    match trouble:
        case "misconfigured":
            return MISCONFIGURED_PAUSE
        case "busy":
            asked = BUSY_PAUSE if asked_seconds is None else timedelta(seconds=asked_seconds)
            return min(max(asked, FIRST_PAUSE), LONGEST_PAUSE)
        case _:
            return min(FIRST_PAUSE * (1 << min(attempts - 1, 16)), LONGEST_PAUSE)
