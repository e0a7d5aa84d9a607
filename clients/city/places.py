"""The simulated city's reference data, read from `data/*.yaml` and checked as it is read.

Where things are (districts, markets, stations), what is done there (occupations) and what an hour of it is paid.
"""

import math
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.contracts.terms import Code, Fen
from shared.contracts.terms import District as DistrictCode
from shared.contracts.terms import Occupation as OccupationCode

DATA = Path(__file__).with_name("data")
EARTH_M = 6_371_000.0
PAY_STEP_FEN = 50

Name = Annotated[str, Field(min_length=1, max_length=40)]
At = tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=180)]]
"""Latitude and longitude, WGS 84 degrees."""
Class = Literal["basic", "important", "key", "core"]


def metres(a: At, b: At) -> float:
    """Distance over ground between two positions (haversine)."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(h))


class Fact(BaseModel):
    """A row of reference data: frozen, and nothing in it that is not known here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Area(Fact):
    """A prefecture or municipality; `wages` names its minimum wage in pay.yaml."""

    name: Name
    name_en: Name
    wages: str


class Point(Fact):
    """A made-up market or station in a real street or town."""

    id: str
    name: Name
    name_en: Name
    tier: Literal["market", "station"]
    at: At


class District(Fact):
    """A county-level division. Every point lies within `radius_m` of the centre and carries the code in its id."""

    code: DistrictCode
    name: Name
    name_en: Name
    area: str
    centre: At
    radius_m: Annotated[int, Field(gt=0, le=60_000)]
    points: Annotated[tuple[Point, ...], Field(min_length=2, max_length=4)]

    @model_validator(mode="after")
    def _points_inside(self) -> Self:
        for point in self.points:
            if metres(self.centre, point.at) > self.radius_m:
                raise ValueError(f"{point.id} lies outside {self.name}")
            if not point.id.startswith(f"{self.code}-"):
                raise ValueError(f"{point.id} is listed under {self.code}")
        return self


class Occupation(Fact):
    """A trade; `skill` is what the market calls it, `grade` its job class, `seen_in` the source of code and name."""

    code: OccupationCode
    name: Name
    name_en: Name
    skill: Code
    grade: Class
    seen_in: str


class Minimum(Fact):
    """An hourly minimum wage. `verified`: amount and date were read in `source`, not remembered."""

    wages: str
    fen_per_hour: Fen
    tiers_fen: Annotated[tuple[Fen, ...], Field(min_length=1)]
    since: date
    source: Annotated[str, Field(min_length=10)]
    verified: bool

    @model_validator(mode="after")
    def _highest_tier(self) -> Self:
        if self.fen_per_hour != max(self.tiers_fen):
            raise ValueError(f"{self.wages}: the highest tier is {max(self.tiers_fen)}")
        return self


class Classes(Fact):
    source: str
    percent_of_minimum: dict[Class, Annotated[int, Field(ge=100)]]
    spread_percent: Annotated[int, Field(ge=100)]


class Band(Fact):
    """What an hour is paid, from `low` to `high`, before tax."""

    low: Fen
    high: Fen


class City(Fact):
    """All of it, with references that hold."""

    areas: tuple[Area, ...]
    districts: tuple[District, ...]
    sources: dict[str, str]
    occupations: tuple[Occupation, ...]
    classes: Classes
    minimums: tuple[Minimum, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _unique("district", [d.code for d in self.districts])
        _unique("point", [p.id for d in self.districts for p in d.points])
        _unique("occupation", [o.code for o in self.occupations])
        _unique("skill", [o.skill for o in self.occupations])
        _known("area", {d.area for d in self.districts}, {a.name for a in self.areas})
        _known("wages", {a.wages for a in self.areas}, {m.wages for m in self.minimums})
        _known("source", {o.seen_in for o in self.occupations}, set(self.sources))
        _known("grade", {o.grade for o in self.occupations}, set(self.classes.percent_of_minimum))
        return self

    def district(self, code: str) -> District:
        return next(d for d in self.districts if d.code == code)

    def area(self, code: str) -> Area:
        """The prefecture or municipality of a district."""
        return next(a for a in self.areas if a.name == self.district(code).area)

    def occupation(self, code: str) -> Occupation:
        return next(o for o in self.occupations if o.code == code)

    def minimum(self, district: str) -> Minimum:
        """The hourly minimum wage of a district."""
        return next(m for m in self.minimums if m.wages == self.area(district).wages)

    def band(self, district: str, occupation: str) -> Band:
        """What an hour of an occupation is paid in a district; never below the local minimum."""
        share = self.classes.percent_of_minimum[self.occupation(occupation).grade]
        low = _steps(self.minimum(district).fen_per_hour * share / 100)
        return Band(low=low, high=_steps(low * self.classes.spread_percent / 100))


def _steps(fen: float) -> int:
    return math.ceil(fen / PAY_STEP_FEN) * PAY_STEP_FEN


def _unique(what: str, values: list[str]) -> None:
    twice = {value for value in values if values.count(value) > 1}
    if twice:
        raise ValueError(f"{what} listed twice: {', '.join(sorted(twice))}")


def _known(what: str, used: set[str], listed: set[str]) -> None:
    if used - listed:
        raise ValueError(f"{what} not listed: {', '.join(sorted(used - listed))}")


@cache
def city() -> City:
    """The reference data; raises pydantic's ValidationError where a file is wrong."""
    parts: dict[str, object] = {}
    for name in ("districts", "occupations", "pay"):
        parts |= yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return City.model_validate(parts)
