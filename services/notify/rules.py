"""What holds for messages outside the market (rules.yaml), as typed values."""

from datetime import time
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints

from shared.rules import COUNTRY, Figures, Shipped

Hour = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""A time of the region's day, such as 22:00."""


class Rules(Figures):
    """When and how often a person is written to outside; rules.yaml says what each figure means."""

    quiet_from: Hour
    quiet_until: Hour
    digest_at: Hour
    most_a_day: Annotated[int, Field(ge=1)]
    fallback_seconds: Annotated[int, Field(ge=10, le=300)]


def hour(text: Hour) -> time:
    return time.fromisoformat(text)


SHIPPED = (Shipped(COUNTRY, yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text("utf-8"))),)
