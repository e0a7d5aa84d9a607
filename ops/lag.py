"""How far services are behind: in the log, with what they say, with what is due."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.opened import Opened, Refused
from shared.backlog import Backlog, backlog
from shared.broker import Broker
from shared.bus import log_bounds
from shared.problems import Text

NO_TOPIC = Text("Kafka has no topic {topic}: run deploy/topics.py", "Kafka 没有主题 {topic}：请先运行 deploy/topics.py")


@dataclass(frozen=True)
class Partition:
    """One partition of a topic: the log's end, the offset at which the service goes on, and what lies between."""

    topic: str
    partition: int
    end: int
    fence: int
    lag: int


@dataclass(frozen=True)
class Lag:
    """One service: its partitions, the sum of what they are behind, and what waits in its database."""

    service: str
    lag: int
    waiting: Backlog
    partitions: list[Partition]


async def lags(services: Iterable[Opened], kafka: Broker) -> list[Lag]:
    """Raises `Refused` when a topic is not there, `ConnectionError` when Kafka does not answer.

    The fences are read before the ends: what is handled in between counts as lag, never as less than none.
    """
    services = list(services)
    fences = {
        opened.name: {row["_id"]: row["next"] async for row in opened.store.db["_fences"].find({})}
        for opened in services
    }
    topics = {topic for opened in services for topic in opened.service.reactions.topics}
    bounds = await log_bounds(kafka, sorted(topics))
    missing = topics - {topic for topic, _ in bounds}
    if missing:
        raise Refused(NO_TOPIC, topic=min(missing))
    found = []
    for opened in services:
        partitions = []
        for (topic, partition), (begin, end) in sorted(bounds.items()):
            if topic in opened.service.reactions.topics:
                # What retention took away, or nobody ever sent, is not behind.
                fence = max(begin, fences[opened.name].get(f"{opened.name}:{topic}:{partition}", 0))
                partitions.append(Partition(topic, partition, end, fence, max(0, end - fence)))
        waiting = await backlog(opened.store.db)
        found.append(Lag(opened.name, sum(each.lag for each in partitions), waiting, partitions))
    return found


def behind(found: Iterable[Lag]) -> Mapping[tuple[str, str], int]:
    """How many events a service has still to hear of a topic."""
    return {
        (each.service, topic): sum(place.lag for place in each.partitions if place.topic == topic)
        for each in found
        for topic in {place.topic for place in each.partitions}
    }
