"""The rules of rights: what is agreed and hashed, when a shift may start, what was worked, what is owed and by when."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

import h3
import orjson

from services.rights.rules import PayDays, Reliability
from shared.contracts.matching import PlacementMade
from shared.contracts.terms import Pay, PayMode, PayUnit, Period

FORM = "kuaizhao-agreement/1"


def agreement_text(placement: PlacementMade) -> bytes:
    """What both sides agreed to, as canonical JSON: the same placement always gives the same bytes.

    UTF-8, no space, members sorted, as in RFC 8785; a number is written as orjson writes it (28.0, where the RFC has
    28). The bytes are kept as they are, so that whoever checks the hash needs no canonical form at all.
    """
    return orjson.dumps(
        {
            "form": FORM,
            "placement_id": placement.placement_id,
            "offer_id": placement.offer_id,
            "gig_id": placement.gig_id,
            "seat": placement.seat,
            "worker_id": placement.worker_id,
            "employer_id": placement.employer_id,
            "district": placement.district,
            "terms": placement.terms.model_dump(mode="json"),
            "agreed_at": placement.at.isoformat().replace("+00:00", "Z"),
        },
        option=orjson.OPT_SORT_KEYS,
    )


def iso(at: datetime | None) -> str | None:
    """A moment in UTC as it stands in files that we give out, such as 2026-11-23T00:00:00Z."""
    return at.isoformat().replace("+00:00", "Z") if at else None


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def cover_reference(provider: str, placement_id: str) -> str:
    """The market's own name for a placement's entry in the group policy."""
    return f"{provider}:{placement_id}"


def asking_key(ask: Literal["enrol", "withdraw"], reference: str) -> str:
    """The idempotency key under which an insurer is asked: a cover is enrolled once and withdrawn once."""
    return f"{ask}:{reference}"


def start_refusal(shift: Period, now: datetime, early: timedelta) -> Literal["too-early", "too-late"] | None:
    """Why a shift may not start now: it may in [start - early, end)."""
    if now < shift.start - early:
        return "too-early"
    return "too-late" if now >= shift.end else None


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The great-circle distance of two (lat, lon)."""
    return float(h3.great_circle_distance(a, b, unit="m"))


def worked_minutes(shift: Period, started: datetime, ended: datetime) -> int:
    """The whole minutes worked within the shift. Whoever comes early waits, and does not work, until it starts."""
    return max(0, int((min(ended, shift.end) - max(started, shift.start)) // timedelta(minutes=1)))


def amount_fen(pay: Pay, minutes: int, pieces: int, *, of_minutes: int | None = None) -> int:
    """What is owed, in fen: the day's amount, so much a piece, or minutes at an hour's rate.

    A day of which no minute was worked is not owed. A substitute has part of the day's amount, as its minutes are of
    the whole shift's (`of_minutes`). Parts of a rate are rounded to the nearest fen, and half a fen up, in whole
    numbers throughout.
    """
    match pay.unit:
        case PayUnit.day if of_minutes:
            return (2 * pay.amount_fen * minutes + of_minutes) // (2 * of_minutes)
        case PayUnit.day:
            return pay.amount_fen if minutes else 0
        case PayUnit.piece:
            return pay.amount_fen * pieces
        case PayUnit.hour:
            return (minutes * pay.amount_fen + 30) // 60


def due_at(mode: PayMode, ended: datetime, zone: ZoneInfo, days: PayDays) -> datetime:
    """The moment by which pay must have arrived: the end of a local day. policy.yaml names the rules' sources."""
    worked = ended.astimezone(zone).date()
    match mode:
        case PayMode.same_day:
            day = worked
        case PayMode.weekly:
            day = worked + timedelta(days=7 - worked.isoweekday())
        case PayMode.monthly:
            day = _month_after(worked).replace(day=days.monthly_day)
            while days.rests(day):
                day -= timedelta(days=1)
    return datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)


def _month_after(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


# --- points of reliability -------------------------------------------------------------------------------------------


class Change(Protocol):
    """What counts of an entry of the ledger: points given (above 0) or taken, or an entry before that is taken back."""

    id: str
    points: int
    half_days: int
    at: datetime
    takes_back_id: str | None


def left(points: int, half_days: int, age: timedelta) -> int:
    """What is left of points at an age: points / 2 ** (age // half_days), rounded to a whole point towards none."""
    halved = abs(points) >> age // timedelta(days=half_days)
    return halved if points > 0 else -halved


def counts_until(points: int, half_days: int, at: datetime) -> datetime:
    """From when on nothing is left of points."""
    return at + timedelta(days=half_days) * abs(points).bit_length()


def score(ledger: Iterable[Change], figures: Reliability, at: datetime) -> int:
    """A person's points at a moment, of their ledger's entries in any order.

    max(least, min(most, start + given) - taken), where `given` and `taken` are what is left then (`left`) of all that
    was given and taken and not taken back. So a long good record is no licence: what is taken is always felt.
    """
    made = [each for each in ledger if each.at <= at]
    void = {each.takes_back_id for each in made}
    parts = [left(e.points, e.half_days, at - e.at) for e in made if e.takes_back_id is None and e.id not in void]
    given, taken = sum(part for part in parts if part > 0), -sum(part for part in parts if part < 0)
    return max(figures.least, min(figures.most, figures.start + given) - taken)
