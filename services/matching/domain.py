"""The market's rules as plain functions on plain data: no I/O, no clock."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from shared.contracts.posting import GigTerms
from shared.contracts.terms import Pay, PayUnit, Period

Ended = Literal["accepted", "declined", "expired"]
"""How an offer ended."""

ExpiryReason = Literal["time", "filled", "closed", "amended", "gone", "unconfirmed"]
"""Why an offer expired: `gone` means that the worker no longer waits."""

PlacementStatus = Literal["awaiting-confirmation", "placed", "cancelled", "lapsed"]
"""`lapsed`: the employer did not confirm in time, so that there never was a placement to others."""

ExcuseState = Literal["waiting", "accepted", "refused"]
"""Of the excuse for a late cancellation: `waiting` for a clerk."""

DAY_MINUTES = 24 * 60
WORKING_HOURS = 8
"""Hours of a working day (Labour Law, art. 36)."""


def fen_per_hour(pay: Pay, period: Period) -> int:
    """What an hour of the gig pays, rounded down; 0 for piece work, whose hour nobody can promise.

    A day's pay is spread over the shift; when the period is longer than a day, over eight hours of each.
    """
    if pay.unit is PayUnit.hour:
        return pay.amount_fen
    if pay.unit is PayUnit.day:
        return pay.amount_fen * 60 // (period.minutes if period.minutes <= DAY_MINUTES else WORKING_HOURS * 60)
    return 0


def same_but_for_headcount(terms: GigTerms, other: GigTerms) -> bool:
    """True when an offer of the one may stand under the other."""
    return terms.model_copy(update={"headcount": other.headcount}) == other


class SeatPlan(NamedTuple):
    add: list[int]
    remove: list[int]


def plan_seats(open_: Iterable[int], taken: Iterable[int], headcount: int) -> SeatPlan:
    """The seat numbers to add or remove so that a gig has `headcount` seats. A taken seat is never removed."""
    free, held = set(open_), set(taken)
    surplus = len(free) + len(held) - headcount
    if surplus > 0:
        return SeatPlan([], sorted(free, reverse=True)[:surplus])
    unused = (number for number in range(1, headcount + 1) if number not in free and number not in held)
    return SeatPlan([number for number, _ in zip(unused, range(-surplus), strict=False)], [])


def clash(periods: Iterable[Period], wanted: Period) -> Period | None:
    """The first of the periods that overlaps the wanted one. All are half-open: 08-12 and 12-16 do not."""
    return next((period for period in periods if period.overlaps(wanted)), None)


def offer_fate(
    *, takes: bool, same_terms: bool, seats_left: int, present: bool
) -> Literal["closed", "amended", "filled", "gone"] | None:
    """Why an open offer can no longer stand; None while it can.

    `takes`: its gig takes people; `same_terms`: as offered; `present`: the worker still waits.
    """
    if not takes:
        return "closed"
    if not same_terms:
        return "amended"
    if seats_left <= 0:
        return "filled"
    return None if present else "gone"


def arrival(period: Period, now: datetime, within: timedelta) -> datetime:
    """When somebody who takes a gig now should be there: at its start, or so soon from now once that has passed."""
    return period.start if now < period.start else now + within


def is_late(start: datetime, now: datetime, notice: timedelta) -> bool:
    """True when less than the notice is left before the start; exactly so much is in time."""
    return start - now < notice


def compensation_fen(pay: Pay, period: Period, most: timedelta, usual_fen_per_hour: int) -> int:
    """What an employer owes that cancels late, in fen: the pay of the shift, for at most so long of it, half a fen up.

    Piece work has no pay of an hour; `usual_fen_per_hour` stands for it.
    """
    minutes = min(period.minutes, most // timedelta(minutes=1))
    return ((fen_per_hour(pay, period) or usual_fen_per_hour) * minutes + 30) // 60


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The nearest-rank quantile of ascending figures; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
