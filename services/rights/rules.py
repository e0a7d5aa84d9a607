"""Figures of rights as typed values: the country's policy (policy.yaml), and a district's rules (rules.yaml)."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.rules import COUNTRY, Figures, Shipped
from shared.wording import Said


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Insurance(_Rules):
    provider: str


class Ratings(_Rules):
    open_days: int = Field(ge=1)
    average_days: int = Field(ge=1)
    average_least: int = Field(ge=1)

    @property
    def open(self) -> timedelta:
        return timedelta(days=self.open_days)

    @property
    def counts(self) -> timedelta:
        return timedelta(days=self.average_days)


class PayDays(_Rules):
    """When wages are paid. `holidays` are pairs of first and last day."""

    monthly_day: int = Field(ge=1, le=28)
    holidays: tuple[tuple[date, date], ...] = ()
    working_weekends: frozenset[date] = frozenset()

    def rests(self, day: date) -> bool:
        """True on a holiday, and on a Saturday or Sunday that is not worked in exchange for one."""
        if any(first <= day <= last for first, last in self.holidays):
            return True
        return day.isoweekday() > 5 and day not in self.working_weekends


class Records(_Rules):
    good_days: int = Field(ge=1)
    key_days: int = Field(ge=1)

    @property
    def good(self) -> timedelta:
        return timedelta(days=self.good_days)

    @property
    def key_signs(self) -> timedelta:
        return timedelta(days=self.key_days)


class Policy(_Rules):
    insurance: Insurance
    ratings: Ratings
    records: Records
    pay: PayDays


Side = Literal["worker", "employer"]
Rule = Literal[
    "worked",
    "unattended",
    "no-show",
    "paid-on-time",
    "no-confirmation",
    "late-pay",
    "arrears",
    "late-cancellation",
]
"""What gives or takes points of reliability."""

GIVES: Mapping[Side, frozenset[Rule]] = {"worker": frozenset({"worked"}), "employer": frozenset({"paid-on-time"})}
TAKES: Mapping[Side, frozenset[Rule]] = {
    "worker": frozenset({"late-cancellation", "unattended", "no-show"}),
    "employer": frozenset({"late-cancellation", "no-confirmation", "late-pay", "arrears"}),
}


class Suspension(_Rules):
    """Who loses points and is `below` so many then may begin nothing new for so many days."""

    below: int
    days: int = Field(ge=1, le=365)


class SideRules(_Rules):
    """What each rule gives (above 0) or takes (below 0) of a side, and what follows from having few, mildest first."""

    points: Mapping[Rule, Annotated[int, Field(ge=-1_000, le=1_000)]]
    suspensions: tuple[Suspension, ...]

    def suspension(self, score: int) -> Suspension | None:
        """The gravest that a score leads to."""
        return next((each for each in reversed(self.suspensions) if score < each.below), None)


class Reliability(_Rules):
    """How points of reliability are reckoned; rules.yaml says what each figure means."""

    start: int = Field(ge=0, le=1_000)
    least: int = Field(ge=0, le=1_000)
    most: int = Field(ge=0, le=1_000)
    half_days: int = Field(ge=1, le=3_650)
    appeal_days: int = Field(ge=1, le=365)
    worker: SideRules
    employer: SideRules

    def of(self, side: Side) -> SideRules:
        return self.worker if side == "worker" else self.employer

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.least < self.start < self.most:
            raise Said("least must be below start, and start below most", "least 应小于 start，start 应小于 most")
        for side in GIVES:
            self._check(side, self.of(side))
        return self

    def _check(self, side: Side, rules: SideRules) -> None:
        known = GIVES[side] | TAKES[side]
        if set(rules.points) != known:
            listed = ", ".join(sorted(known))
            raise Said(f"{side}.points must have {listed}, and no other", f"{side}.points 应且只应包含 {listed}")
        for rule, points in rules.points.items():
            if (points < 0) if rule in GIVES[side] else (points > 0):
                raise Said(f"{side}.points.{rule} has the wrong sign", f"{side}.points.{rule} 的正负号不对")
        limits = [each.below for each in rules.suspensions]
        if limits != sorted(set(limits), reverse=True) or any(not self.least < each <= self.start for each in limits):
            raise Said(
                f"{side}.suspensions must go down, from at most start to above least",
                f"{side}.suspensions 的 below 应逐级降低，不高于 start 且高于 least",
            )


class Rules(Figures):
    """How a district takes attendance and reckons reliability; rules.yaml says what each figure means."""

    early_minutes: Annotated[int, Field(ge=0, le=120)]
    no_show_minutes: Annotated[int, Field(ge=1, le=240)]
    proof: Literal["required", "optional"]
    radius_m: Annotated[int, Field(ge=10, le=10_000)]
    max_wrong_codes: Annotated[int, Field(ge=1, le=100)]
    clock_skew_seconds: Annotated[int, Field(ge=0, le=900)]
    late_sync_hours: Annotated[int, Field(ge=1, le=168)]
    timesheet_hours: Annotated[int, Field(ge=1, le=168)]
    records_days: Annotated[int, Field(ge=731, le=3_650)]
    reliability: Reliability
    timesheet_reminder_hours: Annotated[int, Field(ge=0, le=167)]
    dispute_hours: Annotated[int, Field(ge=1, le=720)]
    dispute_days: Annotated[int, Field(ge=1, le=60)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.dispute_hours >= self.dispute_days * 24:
            raise Said("dispute_hours must end before dispute_days do", "dispute_hours 应早于 dispute_days 届满")
        return self

    @property
    def early(self) -> timedelta:
        return timedelta(minutes=self.early_minutes)

    @property
    def clock_skew(self) -> timedelta:
        return timedelta(seconds=self.clock_skew_seconds)

    @property
    def records(self) -> timedelta:
        return timedelta(days=self.records_days)

    @property
    def late_sync(self) -> timedelta:
        return timedelta(hours=self.late_sync_hours)

    @property
    def dispute_escalates(self) -> timedelta:
        return timedelta(hours=self.dispute_hours)

    @property
    def dispute_lasts(self) -> timedelta:
        return timedelta(days=self.dispute_days)


def _data(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8"))


POLICY = Policy.model_validate(_data("policy.yaml"))
SHIPPED = (Shipped(COUNTRY, _data("rules.yaml")),)
