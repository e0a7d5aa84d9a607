"""Words that events of several services share: places, spans of time, money, conditions of a gig."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar: no ValueError, so pydantic would let it through
        raise PydanticCustomError("time_out_of_range", "must be a time between the years 1 and 9999") from None


Instant = Annotated[
    AwareDatetime, AfterValidator(_utc), Field(description="A moment; read with any offset, written in UTC.")
]

District = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{5}$"),
    Field(description="A county-level division by its six digits of GB/T 2260, such as 430102."),
]

Cell = Annotated[
    str,
    StringConstraints(pattern=r"^8[0-9a-f]{14}$"),
    Field(description="An H3 cell; resolution 9 for people (an edge of about 170 m): no exact position."),
]

Fen = Annotated[int, Field(ge=0, description="Money in fen, a hundredth of a yuan.")]

Code = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$"),
    Field(description="A short machine name: a skill, a certificate, a reason."),
]

Occupation = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]-[0-9]{2}-[0-9]{2}-[0-9]{2}$"),
    Field(description="A fine class of the national classification of occupations, such as 4-02-07-09."),
]

Trade = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9](-[0-9]{2}){0,3}$"),
    Field(description="A class of the national classification of occupations, at any of its levels, such as 4-02."),
]

Hazard = Annotated[
    Code,
    Field(
        description="What of a work may harm, after the seventeen kinds of 劳部发〔1994〕498号 art. 3: dust, toxic, "
        "height, cold-water, heat, cold, heavy-labour, mine, logging, radiation, fire-or-burns, prospecting, "
        "diving-or-altitude, heavy-loads, vibrating-tools, forced-posture, boiler; and adult-venue. Others may come."
    ),
]


class Term(BaseModel):
    """A value inside an event: frozen, tolerant of fields a newer publisher adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Period(Term):
    """A half-open span of time [start, end): 08-12 and 12-16 do not overlap."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _forward(self) -> "Period":
        if self.end <= self.start:
            raise PydanticCustomError("period_backward", "end must be after start")
        return self

    def overlaps(self, other: "Period") -> bool:
        return self.start < other.end and other.start < self.end

    @property
    def minutes(self) -> int:
        return int((self.end - self.start).total_seconds() // 60)


class PayUnit(StrEnum):
    hour = "hour"
    day = "day"
    piece = "piece"


class PayMode(StrEnum):
    """When pay is due after the work: the same day (日结), weekly (周结) or monthly (月结)."""

    same_day = "same-day"
    weekly = "weekly"
    monthly = "monthly"


class Pay(Term):
    """Basic pay of a gig before tax."""

    amount_fen: Annotated[int, Field(gt=0, le=100_000_000, description="In fen, a hundredth of a yuan.")]
    unit: PayUnit
    mode: PayMode


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


class Place(Term):
    """Where work is done: a workplace, so exact; WGS 84 degrees."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    address: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=200)]


class Crew(Term):
    """People who work together or not at all: a gig runs only when so many of its headcount are found in its validity.

    Until then whoever accepts holds a seat and is not placed. As many as the headcount is all of them.
    """

    least: Annotated[int, Field(ge=1, description="The fewest people with whom the gig runs.")]


Hiring = Annotated[
    Literal["instant", "confirm"],
    Field(description="instant: an accepted offer is a placement. confirm: the employer confirms within a deadline."),
]
