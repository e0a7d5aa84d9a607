"""The market's policy, policy.yaml, as typed values."""

from datetime import date, timedelta
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attendance(_Rules):
    early_minutes: int = Field(ge=0)
    no_show_minutes: int = Field(ge=1)

    @property
    def no_show(self) -> timedelta:
        return timedelta(minutes=self.no_show_minutes)

    @property
    def early(self) -> timedelta:
        return timedelta(minutes=self.early_minutes)


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


class Policy(_Rules):
    attendance: Attendance
    insurance: Insurance
    ratings: Ratings
    pay: PayDays


POLICY = Policy.model_validate(yaml.safe_load((Path(__file__).parent / "policy.yaml").read_text("utf-8")))
