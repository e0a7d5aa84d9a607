"""The registry's data files, read and checked once: stations, hardship tiers, the consent text."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from services.workers.domain import TierTable, cell_of
from shared.contracts.terms import Cell, District
from shared.rulebook import RuleBook
from shared.rules import ALWAYS, Shipped


class Station(BaseModel):
    """A public place where people can check in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    district: District
    zh: str
    en: str
    lat: float
    lon: float

    @property
    def cell(self) -> Cell:
        return cell_of(self.lat, self.lon)


class Consent(BaseModel):
    """What people agree to at registration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    zh: str
    en: str


def _read(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _stations() -> Mapping[str, Station]:
    listed = TypeAdapter(list[Station]).validate_python(_read("stations.yaml")["stations"])
    twice = [name for name, times in Counter(station.id for station in listed).items() if times > 1]
    if twice:
        raise ValueError(f"stations.yaml lists twice: {twice}")
    return {station.id: station for station in listed}


STATIONS = _stations()
TIERS = RuleBook(
    TierTable,
    [
        Shipped(area, {name: value for name, value in table.items() if name != "since"}, table.get("since", ALWAYS))
        for area, tables in _read("tiers.yaml")["areas"].items()
        for table in tables
    ],
)
CONSENT = Consent.model_validate(_read("consent.yaml"))
