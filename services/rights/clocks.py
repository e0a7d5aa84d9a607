"""How a case may go on, and by when: cases.yaml as typed values, and time limits in working and calendar days."""

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.rights.rules import PayDays

CaseKind = Literal["arrears", "injury", "unsafe-place", "fee-charged", "discrimination", "other"]
CaseState = Literal["open", "accepted", "declined", "mediation", "settled", "referred", "taken-up", "closed"]
Authority = Literal["inspection", "arbitration"]
CaseOutcome = Literal["paid", "settled", "decided", "unfounded", "withdrawn", "other"]

NEXT: dict[CaseState, tuple[CaseState, ...]] = {
    "open": ("accepted", "declined", "closed"),
    "accepted": ("mediation", "referred", "closed"),
    "declined": ("closed",),
    "mediation": ("settled", "referred", "closed"),
    "settled": ("referred", "closed"),
    "referred": ("taken-up", "accepted", "closed"),
    "taken-up": ("closed",),
    "closed": (),
}
"""Where a case may go from where it is. `taken-up`: the authority accepted it; back to `accepted`: it did not.

A settlement that is not kept may still be referred (劳动争议调解仲裁法 art. 5).
"""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LegalLimit(_Rules):
    """A time limit; cases.yaml says what each field means."""

    name: str
    state: CaseState | None = None
    to: Authority | None = None
    kind: CaseKind | None = None
    days: int = Field(gt=0)
    working: bool
    extension: int = Field(default=0, ge=0)
    source: str = Field(min_length=4)
    verified: bool

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        if (self.state is None) == (self.kind is None):
            raise ValueError("a limit begins either with a state or with a kind of case")
        return self


class Arrears(_Rules):
    open_after_hours: int = Field(ge=0)
    sanction: Literal["block", "suspend"]
    sanction_days: int = Field(gt=0)

    @property
    def open_after(self) -> timedelta:
        return timedelta(hours=self.open_after_hours)

    @property
    def lasts(self) -> timedelta:
        return timedelta(days=self.sanction_days)


class CaseRules(_Rules):
    limits: tuple[LegalLimit, ...]
    arrears: Arrears


RULES = CaseRules.model_validate(yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text("utf-8")))
LIMITS = {limit.name: limit for limit in RULES.limits}


def begins_with(state: CaseState, to: Authority | None) -> tuple[LegalLimit, ...]:
    """The limits that begin when a case comes into a state."""
    return tuple(limit for limit in RULES.limits if limit.state == state and limit.to in (None, to))


def of_kind(kind: CaseKind) -> tuple[LegalLimit, ...]:
    """The limits that begin when a case of a kind is opened."""
    return tuple(limit for limit in RULES.limits if limit.kind == kind)


def due_at(began: date, days: int, *, working: bool, zone: ZoneInfo, calendar: PayDays) -> datetime:
    """The moment by which it must be done: the end of the last of so many local days after the day of the beginning."""
    day = began
    if working:
        left = days
        while left:
            day += timedelta(days=1)
            left -= not calendar.rests(day)
    else:
        day += timedelta(days=days)
        while calendar.rests(day):
            day += timedelta(days=1)
    return datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)


BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without the letters that are taken for digits."""


def receipt_of(case_id: str, day: date) -> str:
    """A case's number for people, such as 261123-7K3M-9Q2F: the day, and 40 bits that follow from its id."""
    bits = int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:5], "big")
    letters = "".join(BASE32[bits >> shift & 31] for shift in range(35, -1, -5))
    return f"{day:%y%m%d}-{letters[:4]}-{letters[4:]}"
