"""A broker as its clients take it: where it is, and how this process is known there."""

from dataclasses import dataclass
from typing import Any

from shared.certificates import Certificates
from shared.settings import Settings


@dataclass(frozen=True)
class Broker:
    """Bootstrap addresses, `host:port,host:port`, and the certificates to speak TLS with; none to speak in the open."""

    address: str
    certificates: Certificates | None = None

    @classmethod
    def of(cls, settings: Settings, who: str) -> "Broker":
        """The broker that the settings name. Raises ValueError for certificates that are none (`Certificates`)."""
        return cls(settings.kafka, Certificates(settings, who))

    @property
    def options(self) -> dict[str, Any]:
        """What each of aiokafka's clients takes to find it."""
        return {"bootstrap_servers": self.address, **(self.certificates.options if self.certificates else {})}

    def __str__(self) -> str:
        return self.address
