"""How long things of people are kept, and when a phone is shown (rules.yaml), as typed values."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from shared.rules import COUNTRY, Figures, Shipped


class Rules(Figures):
    """An area's periods in days; rules.yaml says what each is for."""

    contact_days: Annotated[int, Field(ge=0, le=90)]
    settling_days: Annotated[int, Field(ge=7, le=365)]
    readings_days: Annotated[int, Field(ge=180, le=3_650)]

    unused_days: Annotated[int, Field(ge=180, le=3_650)]

    @property
    def contact(self) -> timedelta:
        return timedelta(days=self.contact_days)

    @property
    def settling(self) -> timedelta:
        return timedelta(days=self.settling_days)

    @property
    def unused(self) -> timedelta:
        return timedelta(days=self.unused_days)

    @property
    def readings(self) -> timedelta:
        return timedelta(days=self.readings_days)


SHIPPED = (Shipped(COUNTRY, yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text("utf-8"))),)
