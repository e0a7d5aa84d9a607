"""Data files of search, read and checked once: names of occupations, figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.contracts.terms import Occupation


class Name(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: str
    en: str


class SearchFigures(BaseModel):
    """A region's figures of search and of guide prices, from search.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    circle_m_per_minute: Annotated[int, Field(gt=0)]
    guide_days: Annotated[int, Field(gt=0)]
    guide_least_posts: Annotated[int, Field(gt=0)]


def _read(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8"))


OCCUPATIONS: Mapping[str, Name] = TypeAdapter(dict[Occupation, Name]).validate_python(_read("occupations.yaml"))
SEARCH = SearchFigures.model_validate(_read("search.yaml"))
