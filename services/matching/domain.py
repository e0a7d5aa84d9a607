"""The market's rules as plain functions on plain data: no I/O, no clock."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from services.matching.rules import DAYS_KEPT, Hours, Minors, Rules
from shared.contracts.posting import GigTerms
from shared.contracts.terms import DAY_MINUTES, Pay, Period, fen_per_hour

Ended = Literal["accepted", "declined", "expired"]
"""How an offer ended."""

ExpiryReason = Literal["time", "filled", "closed", "amended", "gone", "unconfirmed", "crew"]
"""Why an offer expired: `gone` means that the worker no longer waits, or not for such work; `crew` that too few people
came together."""

PlacementStatus = Literal["awaiting-confirmation", "held", "placed", "cancelled", "lapsed"]
"""`held` until the crew is whole. `lapsed`: the employer did not confirm in time, or the crew did not come together, so
that there never was a placement to others."""

CrewState = Literal["gathering", "whole", "failed"]
"""Of a gig that runs with a whole crew or not at all."""

ExcuseState = Literal["waiting", "accepted", "refused"]
"""Of the excuse for a late cancellation: `waiting` for a clerk."""


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


# --- hours -----------------------------------------------------------------------------------------------------------


class Commitment(Period):
    """A period that a worker has promised."""

    placement_id: str
    employer_id: str = ""


CapKind = Literal["day", "week", "employer-week"]


class Cap(NamedTuple):
    """What is limited: a local day, a week by its Monday, or such a week with one employer."""

    kind: CapKind
    first_day: str
    employer_id: str = ""


class Exceeded(NamedTuple):
    """A cap that one more shift would exceed, in minutes."""

    cap: Cap
    most: int
    used: int
    wanted: int


CAPS_LOOK_BACK = timedelta(days=8)
"""What ended before this counts for no day, week or rest of now."""


@lru_cache(maxsize=100_000)
def minutes_by_cap(start: datetime, end: datetime, employer_id: str, zone: ZoneInfo) -> tuple[tuple[Cap, int], ...]:
    """The minutes that a shift takes of each cap; a minute begun counts whole. Kept: a gig's seats have one shift."""
    taken: Counter[Cap] = Counter()
    while start < end:
        day = start.astimezone(zone).date()
        midnight = min(end, datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC))
        minutes = math.ceil((midnight - start).total_seconds() / 60)
        monday = str(day - timedelta(days=day.weekday()))
        for cap in (Cap("day", str(day)), Cap("week", monday), Cap("employer-week", monday, employer_id)):
            taken[cap] += minutes
        start = midnight
    return tuple(taken.items())


def minutes_promised(promised: Iterable[Commitment], zone: ZoneInfo) -> Counter[Cap]:
    """What these periods take of each cap together."""
    used: Counter[Cap] = Counter()
    for each in promised:
        for cap, minutes in minutes_by_cap(each.start, each.end, each.employer_id, zone):
            used[cap] += minutes
    return used


def within_caps(terms: GigTerms, hours: Hours, zone: ZoneInfo, *, minor: bool) -> bool:
    """True when a gig may be worked by somebody who works nothing else."""
    taken = minutes_by_cap(terms.period.start, terms.period.end, terms.employer_id, zone)
    return all(minutes <= most_minutes(cap.kind, hours, minor=minor) for cap, minutes in taken)


def most_minutes(kind: CapKind, hours: Hours, *, minor: bool) -> int:
    """A cap's figure; a minor works no overtime."""
    match kind:
        case "day":
            return hours.day_minutes + (0 if minor else hours.overtime_minutes)
        case "week":
            return hours.week_minutes
        case "employer-week":
            return hours.employer_week_minutes


def exceeded(
    promised: Iterable[Commitment], wanted: Period, employer_id: str, hours: Hours, zone: ZoneInfo, *, minor: bool
) -> Exceeded | None:
    """The first cap that one more shift would exceed. Exactly at the cap is within it."""
    used = minutes_promised(promised, zone)
    for cap, minutes in minutes_by_cap(wanted.start, wanted.end, employer_id, zone):
        most = most_minutes(cap.kind, hours, minor=minor)
        if used[cap] + minutes > most:
            return Exceeded(cap, most, used[cap], minutes)
    return None


def unrested(promised: Iterable[Commitment], wanted: Period, hours: Hours, zone: ZoneInfo) -> Commitment | None:
    """The first promised period of another day without the rest between it and the wanted one."""
    rest = timedelta(minutes=hours.rest_minutes)
    for each in promised:
        if local_day(each.start, zone) != local_day(wanted.start, zone) and (
            each.start - rest < wanted.end and wanted.start < each.end + rest
        ):
            return each
    return None


def local_day(moment: datetime, zone: ZoneInfo) -> int:
    """The day on which something begins there, as a number."""
    return moment.astimezone(zone).toordinal()


# --- turns -----------------------------------------------------------------------------------------------------------


def days_for_nothing(waited: Iterable[int], turns: Iterable[int], declined: Collection[int], today: int) -> int:
    """On how many days before today somebody waited for nothing since they last had their turn.

    All are local days as numbers (`local_day`): `waited` those with a check-in, `turns` those on which they were
    placed, `declined` those on which they refused what they were offered or let it pass.
    """
    last_turn = max(turns, default=0)
    return sum(last_turn < day < today and day not in declined for day in set(waited))


def lately(days: Iterable[int], today: int) -> list[int]:
    """Those of these days that are not forgotten, each once, and today."""
    return sorted({day for day in days if day > today - DAYS_KEPT} | {today})


# --- who takes what ----------------------------------------------------------------------------------------------


def codes_of(skills: Iterable[str], certificates: Iterable[str]) -> set[str]:
    """Both kinds in one set: a skill may have the name of a certificate."""
    return {*(f"skill {code}" for code in skills), *(f"certificate {code}" for code in certificates)}


def barred_to_minors(terms: GigTerms, minors: Minors) -> bool:
    """True for work that the rules keep nobody's child at: by what it asks for, what harms there, and its trade."""
    return (
        any(code in minors.hazards for code in terms.hazards)
        or any(code in minors.certificates for code in terms.certificates)
        or any(within(terms.occupation, trade) for trade in minors.trades)
    )


ADULTS = "adults"
"""The tag of what nobody under 18 is offered."""


def tags(terms: GigTerms, rules: Rules, zone: ZoneInfo) -> set[str]:
    """What of a gig some people do not take, or may not."""
    found = {f"trade {terms.occupation}"}
    if terms.night_work:
        found.add("night")
    if not terms.meals:
        found.add("no-meals")
    if not terms.lodging:
        found.add("no-lodging")
    if (
        terms.night_work
        or barred_to_minors(terms, rules.minors)
        or not within_caps(terms, rules.hours, zone, minor=True)
    ):
        found.add(ADULTS)
    return found


def refusals(profile: Mapping[str, Any], occupations: Iterable[str]) -> set[str]:
    """The tags that a worker does not take, or may not. `profile` is a `WorkerProfile` as it is stored."""
    found = set()
    if profile["minor"]:
        found.add(ADULTS)
    if profile.get("no_night"):
        found.add("night")
    if profile.get("only_with_meals"):
        found.add("no-meals")
    if profile.get("only_with_lodging"):
        found.add("no-lodging")
    wanted, unwanted = profile.get("trades_wanted"), profile.get("trades_unwanted")
    if wanted or unwanted:
        for occupation in occupations:
            listed = not wanted or any(within(occupation, trade) for trade in wanted)
            if not listed or any(within(occupation, trade) for trade in unwanted or ()):
                found.add(f"trade {occupation}")
    return found


def within(occupation: str, trade: str) -> bool:
    """True when an occupation is of a class: 4-02-07-02 is of 4-02, and 4-02 is not of 4-0."""
    return f"{occupation}-".startswith(f"{trade}-")


def away(
    calendar: Mapping[str, Any] | None, start: datetime, end: datetime, zone: ZoneInfo
) -> list[tuple[datetime, datetime]]:
    """The parts of [start, end) at which a worker is not there by their calendar, as it is stored.

    A span belongs to the day it begins on; spans that touch, also over midnight, are one.
    """
    if not calendar or not (calendar["weekly"] or calendar["dates"]):
        return []
    weekly = [(each["weekday"], each["start"], each["end"]) for each in calendar["weekly"]]
    dates = [(each["date"], [(span["start"], span["end"]) for span in each["spans"]]) for each in calendar["dates"]]
    return _gaps(tuple(weekly), tuple((date, tuple(spans)) for date, spans in dates), start, end, zone)


@lru_cache(maxsize=20_000)
def _gaps(
    weekly: tuple[tuple[int, int, int], ...],
    dates: tuple[tuple[str, tuple[tuple[int, int], ...]], ...],
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
) -> list[tuple[datetime, datetime]]:
    """Kept, since many people have the same calendar and a window asks all for the same time."""
    exceptions = dict(dates)
    day, last = start.astimezone(zone).date() - timedelta(days=1), end.astimezone(zone).date()
    there: list[tuple[datetime, datetime]] = []
    while day <= last:
        spans: Iterable[tuple[int, int]]
        if str(day) in exceptions:
            spans = exceptions[str(day)]
        elif weekly:
            spans = [(from_, until) for weekday, from_, until in weekly if weekday == day.isoweekday()]
        else:
            spans = [(0, DAY_MINUTES)]
        there += [(_at(day, from_, zone), _at(day, until, zone)) for from_, until in spans]
        day += timedelta(days=1)
    gaps = []
    for from_, until in [*sorted(there), (end, end)]:
        if start < min(from_, end):
            gaps.append((start, min(from_, end)))
        start = max(start, until)
    return gaps


def _at(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """So many minutes by the clock after a local day's midnight."""
    return (datetime.combine(day, time()) + timedelta(minutes=minutes)).replace(tzinfo=zone).astimezone(UTC)


def fits(profile: Mapping[str, Any], terms: GigTerms, distance_m: float, rules: Rules, zone: ZoneInfo) -> bool:
    """Whether an offer may still stand: the engine's hard rules for one pair, but for hours and the way there."""
    return (
        distance_m <= profile["reach_m"]
        and fen_per_hour(terms.pay, terms.period) >= profile["floor_fen_per_hour"]
        and codes_of(terms.skills, terms.certificates) <= codes_of(profile["skills"], profile["certificates"])
        and not tags(terms, rules, zone) & refusals(profile, [terms.occupation])
        and not away(profile.get("calendar"), terms.period.start, terms.period.end, zone)
    )


# --- offers ----------------------------------------------------------------------------------------------------------


def offer_fate(
    *, takes: bool, same_terms: bool, seats_left: int, present: bool
) -> Literal["closed", "amended", "filled", "gone"] | None:
    """Why an open offer can no longer stand; None while it can.

    `takes`: its gig takes people; `same_terms`: as offered; `present`: the worker still waits for work like this.
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
