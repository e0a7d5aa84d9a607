"""Figures that differ from place to place: what a service ships, and how a wider area's stand for those within.

A service ships the country's figures whole. A province (43), a prefecture (4301) and a district (430102) say in what
they differ, as a JSON merge patch (RFC 7396). shared/rulebook.py lets operators set more, while the market runs.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, StringConstraints

COUNTRY = "country"
ALWAYS = datetime(1949, 10, 1, tzinfo=UTC)


class Figures(BaseModel):
    """What a service's rules look like; a service adds its fields. `name` says exactly which rules they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Shipped(NamedTuple):
    """What comes with a service for an area, from `since` on: the country's figures whole, another's as a patch."""

    area: str
    figures: Mapping[str, Any]
    since: datetime = ALWAYS


def chain(area: str) -> tuple[str, ...]:
    """An area and those it lies in, the widest first: country, 43, 4301, 430102."""
    if area == COUNTRY:
        return (COUNTRY,)
    return (COUNTRY, *(area[:digits] for digits in (2, 4, 6) if digits <= len(area)))


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with a patch applied (RFC 7396): members of objects one by one, null removes, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
