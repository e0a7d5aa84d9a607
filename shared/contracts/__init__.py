"""The events of the market: what each service says, and the catalogue of all of them.

One file per publishing service; only that service constructs the events in its file. An event is a frozen pydantic
model with a literal wire name. Within a version, edits are additive; `make contracts` records the JSON Schemas.
"""

import importlib
import pkgutil
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """One fact, told once.

    A subclass names on its class line the `topic` it travels on, its wire `type` (`<service>.<event>.v<n>`), the field
    that holds its `subject` (the aggregate whose events stay in order) and the field that holds its Kafka `key`
    (the district on market topics, the person on personal topics).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    type: ClassVar[str]
    subject_field: ClassVar[str]
    key_field: ClassVar[str]

    def __init_subclass__(
        cls, *, topic: str = "", type: str = "", subject: str = "", key: str = "district", **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if not type:
            return
        if type in CATALOGUE:
            raise TypeError(f"two events are called {type}")
        cls.topic, cls.type, cls.subject_field, cls.key_field = topic, type, subject, key
        CATALOGUE[type] = cls

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for role, field in (("subject", cls.subject_field), ("key", cls.key_field)):
            if field not in cls.model_fields:
                raise TypeError(f"{cls.__name__}: its {role} `{field}` is not one of its fields")

    @property
    def subject(self) -> str:
        return str(getattr(self, self.subject_field))

    @property
    def key(self) -> str:
        return str(getattr(self, self.key_field))

    @property
    def stream(self) -> str:
        """The name under which the events of one aggregate are numbered: `<topic>:<subject>`."""
        return f"{self.topic}:{self.subject}"


CATALOGUE: dict[str, type[Event]] = {}
"""Every event by its wire type; filled as the files of this package are imported by `catalogue()`."""


def catalogue() -> dict[str, type[Event]]:
    """Import every contract file and return all events by wire type."""
    for module in pkgutil.iter_modules(__path__):
        if module.name != "record":
            importlib.import_module(f"{__name__}.{module.name}")
    return CATALOGUE
