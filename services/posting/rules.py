"""What holds for posts in a place: policy.yaml for the country, and each area's minimum wage (minimum_wages.yaml)."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.rules import COUNTRY, Figures, Shipped


class Bounds(BaseModel):
    """A box of WGS 84 degrees, its edges included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    south: float
    west: float
    north: float
    east: float


class Policy(Figures):
    """What a place's posts keep to; policy.yaml says what each figure means. Money in fen."""

    max_validity_days: Annotated[int, Field(gt=0)]
    max_headcount: Annotated[int, Field(gt=0)]
    min_lead_minutes: Annotated[int, Field(ge=0)]
    max_shift_hours: Annotated[int, Field(gt=0, le=24)]
    verification_days: Annotated[int, Field(gt=0, le=181)]
    verification_warning_days: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(max_length=10)]
    max_file_rows: Annotated[int, Field(gt=0)]
    max_offers_waiting: Annotated[int, Field(gt=0)]
    hourly_floor_fen: Annotated[int, Field(gt=0)]
    bounds: Bounds


class MinimumWage(BaseModel):
    """What an hour of part-time work must pay at least in an area, from `since` on, and where that was read.

    `area`: a province, prefecture or district by GB/T 2260. `verified`: that amount, date and area were read in
    `source`, not remembered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    area: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]([0-9]{2}){0,2}$")]
    fen_per_hour: Annotated[int, Field(gt=0)]
    since: AwareDatetime
    source: Annotated[str, Field(min_length=10)]
    verified: bool


def _data(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8"))


MINIMUM_WAGES = tuple(MinimumWage.model_validate(each) for each in _data("minimum_wages.yaml"))
SHIPPED = (
    Shipped(COUNTRY, _data("policy.yaml")),
    *(Shipped(wage.area, {"hourly_floor_fen": wage.fen_per_hour}, wage.since) for wage in MINIMUM_WAGES),
)
