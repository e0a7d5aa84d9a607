"""The figures the market matches by (rules.yaml), as typed values."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.contracts.terms import Code, Trade
from shared.rules import COUNTRY, Figures, Shipped

Share = Annotated[float, Field(ge=0, le=1)]

DAYS_KEPT = 31
"""A day longer ago than so many, on which somebody waited or had their turn, is forgotten."""


class Weights(BaseModel):
    """What each term of a pair's score counts; they sum to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance: Share
    pay: Share
    fit: Share
    waiting: Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.distance + self.pay + self.fit + self.waiting
        if abs(total - 1) > 1e-9:
            raise ValueError(f"weights must sum to 1, not {total:g}")
        return self


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hours(Section):
    """Minutes that nobody works beyond, whoever the employers are, and the rest between two days' work.

    Labour Law, art. 36 and 41; Labour Contract Law, art. 68 (rules.yaml says which is which).
    """

    day_minutes: Annotated[int, Field(ge=1, le=1440)]
    overtime_minutes: Annotated[int, Field(ge=0, le=1440)]
    week_minutes: Annotated[int, Field(ge=1, le=10_080)]
    employer_week_minutes: Annotated[int, Field(ge=1, le=10_080)]
    rest_minutes: Annotated[int, Field(ge=0, le=1440)]


class Minors(Section):
    """What nobody from 16 to 18 is offered, each with its source: hazards and certificates of a gig, and trades."""

    hazards: Mapping[Code, str]
    certificates: Mapping[Code, str]
    trades: Mapping[Trade, str]


class Excuses(Section):
    """Reasons for a late cancellation that a clerk may accept, for each side."""

    worker: tuple[Code, ...]
    employer: tuple[Code, ...]


class Cancellation(Section):
    """What a cancellation at short notice leads to; rules.yaml has the sources."""

    late_hours: Annotated[int, Field(ge=0, le=720)]
    paid_hours: Annotated[int, Field(ge=0, le=12)]
    excuses: Excuses
    excuse_hours: Annotated[int, Field(ge=1, le=720)]

    @property
    def notice(self) -> timedelta:
        return timedelta(hours=self.late_hours)

    @property
    def paid(self) -> timedelta:
        return timedelta(hours=self.paid_hours)

    @property
    def decided_within(self) -> timedelta:
        return timedelta(hours=self.excuse_hours)


class Attendance(Section):
    """When a worker placed long ahead is reminded, and by when they must have said that they will come."""

    ahead_hours: Annotated[int, Field(ge=1, le=720)]
    remind_hours: Annotated[tuple[Annotated[int, Field(ge=1, le=720)], ...], Field(min_length=1, max_length=5)]
    due_hours: Annotated[int, Field(ge=0, le=720)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.due_hours < min(self.remind_hours) <= self.ahead_hours:
            raise ValueError("due_hours must be less than the last of remind_hours, and that at most ahead_hours")
        return self

    @property
    def ahead(self) -> timedelta:
        return timedelta(hours=self.ahead_hours)

    @property
    def due(self) -> timedelta:
        return timedelta(hours=self.due_hours)

    @property
    def reminders(self) -> list[timedelta]:
        """How long before the start, the earliest first."""
        return [timedelta(hours=hours) for hours in sorted(set(self.remind_hours), reverse=True)]


class Backfill(Section):
    """How a seat is filled again whose worker did not come."""

    least_minutes: Annotated[int, Field(ge=1)]
    arrive_minutes: Annotated[int, Field(ge=1)]

    @property
    def least(self) -> timedelta:
        return timedelta(minutes=self.least_minutes)

    @property
    def arrive(self) -> timedelta:
        return timedelta(minutes=self.arrive_minutes)


class Rules(Figures):
    """What a district's market goes by; rules.yaml says what each figure means. `name` is in every offer."""

    window_ms: Annotated[int, Field(ge=10, le=60_000)]
    exposure: Annotated[int, Field(ge=1, le=100)]
    offer_seconds: Annotated[int, Field(ge=1, le=86_400)]
    confirm_seconds: Annotated[int, Field(ge=1, le=86_400)]
    weights: Weights
    hardship: Share
    days_without: Share
    long_without_days: Annotated[int, Field(ge=1, le=DAYS_KEPT)]
    near_m: Annotated[int, Field(ge=0)]
    crowd: Annotated[int, Field(ge=1)]
    double_minutes: Annotated[int, Field(ge=1)]
    soon_minutes: Annotated[int, Field(ge=0)]
    far_m: Annotated[int, Field(ge=100)]
    long_wait_minutes: Annotated[int, Field(ge=1)]
    usual_fen_per_hour: Annotated[int, Field(ge=1)]
    travel_m_per_minute: Annotated[int, Field(ge=1)]
    hours: Hours
    minors: Minors
    candidates: Annotated[int, Field(ge=1)]
    exact_pairs: Annotated[int, Field(ge=0)]
    offers_per_window: Annotated[int, Field(ge=1)]
    gigs_per_window: Annotated[int, Field(ge=1)]
    people_per_window: Annotated[int, Field(ge=1)]
    windows_kept_days: Annotated[int, Field(ge=1, le=3_650)]
    records_days: Annotated[int, Field(ge=731, le=3_650)] = 731
    cancellation: Cancellation
    backfill: Backfill
    attendance: Attendance

    @model_validator(mode="after")
    def _no_substitute_waits(self) -> Self:
        if self.soon_minutes < self.backfill.arrive_minutes:
            raise ValueError(f"soon_minutes must be at least backfill.arrive_minutes, {self.backfill.arrive_minutes}")
        return self

    @property
    def offer_stands(self) -> timedelta:
        return timedelta(seconds=self.offer_seconds)

    @property
    def records(self) -> timedelta:
        return timedelta(days=self.records_days)

    @property
    def confirm_within(self) -> timedelta:
        return timedelta(seconds=self.confirm_seconds)


_FIGURES = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text("utf-8"))
SHIPPED = (Shipped(COUNTRY, _FIGURES),)


@cache
def default_rules() -> Rules:
    """The rules of a district for which nobody set any."""
    return Rules.model_validate(_FIGURES)
