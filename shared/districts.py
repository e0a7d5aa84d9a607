"""Districts as people name them: a code that was merged into another or renamed is taken as the one of today.

For what comes in over HTTP and from agencies. What is kept and said to others has today's codes, so that those who name
an area by its old code and by its new one meet in one market.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator

from shared.contracts.terms import District

ABOLISHED: dict[str, str] = {
    code: row["now"] for code, row in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")).items()
}
"""Codes that are no longer in use, and the one to which their whole area belongs now."""


def of_today(district: str) -> str:
    """The code in use for a district's area: its own, or its successor's."""
    return ABOLISHED.get(district, district)


def all_of_today(districts: Iterable[str]) -> list[str]:
    """The codes in use for districts, or for prefixes such as 4301; those that became one are named once."""
    return list(dict.fromkeys(map(of_today, districts)))


def codes_of(district: str) -> list[str]:
    """All codes under which an area may have been written down: today's, and those that became it."""
    return [district, *(old for old, now in ABOLISHED.items() if now == district)]


GivenDistrict = Annotated[District, AfterValidator(of_today)]
"""A district in a form: read as today's code."""
