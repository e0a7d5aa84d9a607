"""Services opened for an operator: their databases and reactions, without their processes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.contracts import catalogue
from shared.delivery import Delivery
from shared.problems import Text
from shared.run import PORTS, load
from shared.service import Service
from shared.settings import Settings
from shared.store import Store, connect
from shared.telemetry import start_traces

SERVICES = tuple(PORTS)


class Refused(Exception):
    """It cannot be done, and the text says why. `facts` fill the text."""

    def __init__(self, text: Text, **facts: object) -> None:
        super().__init__(text.say("en", facts))
        self.text, self.facts = text, facts


class Misused(Refused):
    """The command is written wrong."""


@dataclass(frozen=True)
class Opened:
    """One service's parts, in this process."""

    service: Service
    store: Store
    delivery: Delivery

    @property
    def name(self) -> str:
        return self.service.name


def database_of(settings: Settings, name: str, alone: bool) -> str:
    """A service's database has its name; KUAIZHAO_DATABASE names another for a service that is opened alone."""
    return settings.database if alone and settings.database else name


@asynccontextmanager
async def opened(settings: Settings, names: Iterable[str]) -> AsyncIterator[dict[str, Opened]]:
    """These services, by name, while the block runs. What they publish is left to the sweepers of their processes."""
    catalogue()
    names = list(names)
    client = connect(settings.mongo_url)
    traces = start_traces(settings, "kuaizhao")
    found = {}
    try:
        for name in names:
            service = load(name)
            store = Store(client, database_of(settings, name, len(names) == 1), source=service.name)
            delivery = Delivery(store, service.reactions, service=service.name, tracer=traces.get_tracer("kuaizhao"))
            found[service.name] = Opened(service, store, delivery)
        yield found
    finally:
        await client.close()
        traces.shutdown()
