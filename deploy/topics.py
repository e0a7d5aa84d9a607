"""Create the topics of deploy/topics.yaml: `python -m deploy.topics --kafka host:port`. Safe to repeat and to race.

Only what is missing is made. A topic that exists with another partition count is an error: events of a district would
no longer be handled where its market is.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from deploy.asked import asked_of
from shared.broker import Broker

FILE = Path(__file__).parent / "topics.yaml"
SECONDS = 60.0

SNAPSHOT = ".snapshot"
"""Behind a topic's name: its compacted copy, which `deploy/agencies/snapshots.py` writes."""
SNAPSHOT_HOURS = 366 * 24
COMPACTED = {
    "cleanup.policy": "compact,delete",
    # Long enough for the next run to see what a run that was frozen has written late.
    "min.compaction.lag.ms": str(48 * 3_600_000),
    "segment.ms": str(24 * 3_600_000),
}


class TopicsError(Exception):
    """The file is wrong, or the broker holds something else than it says. The text is one clear line."""


@dataclass(frozen=True)
class Topic:
    name: str
    key: str
    """What its events are keyed by."""
    partitions: int
    replication: int
    retention_hours: int
    """Hours; -1 keeps for ever."""
    snapshot: bool = False
    """Whether it has a compacted copy beside it, for who comes late."""
    compacted: bool = False

    @property
    def configs(self) -> dict[str, str]:
        kept = {"retention.ms": str(max(-1, self.retention_hours * 3_600_000))}
        return kept | (COMPACTED if self.compacted else {})


def read(file: Path = FILE) -> list[Topic]:
    """The topics of the file, defaults filled in.

    Raises:
        TopicsError: a field that is missing, unknown or no count, or a topic named twice.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    topics: dict[str, Topic] = {}
    for entry in content["topics"]:
        fields: dict[str, Any] = {**content.get("defaults", {}), **entry}
        try:
            topic = Topic(**fields)
        except TypeError as error:
            raise TopicsError(f"{file.name}: {entry.get('name', entry)}: {str(error).partition(') ')[2]}") from None
        for count in (topic.partitions, topic.replication, topic.retention_hours):
            if not isinstance(count, int) or (count < 1 and count != -1):
                raise TopicsError(f"{file.name}: {topic.name}: {count!r} is not a count")
        if topic.name in topics:
            raise TopicsError(f"{file.name}: {topic.name} is named twice")
        topics[topic.name] = topic
    return list(topics.values())


def with_snapshots(topics: Sequence[Topic]) -> list[Topic]:
    """The topics, and the compacted copies of those that have one."""
    copies = [
        replace(topic, name=topic.name + SNAPSHOT, retention_hours=SNAPSHOT_HOURS, snapshot=False, compacted=True)
        for topic in topics
        if topic.snapshot
    ]
    return [*topics, *copies]


async def provision(kafka: Broker, topics: Sequence[Topic] | None = None, *, replication: int | None = None) -> int:
    """Create the topics that a broker lacks, and return how many, once every partition has its leader.

    `replication` is for clusters: copies of each partition, instead of what the file says.

    Raises:
        TopicsError: no broker in time, it refused, or a topic there has another partition count.
    """
    topics = with_snapshots(read() if topics is None else topics)
    admin = AIOKafkaAdminClient(**kafka.options, client_id="kuaizhao-topics")
    try:
        async with asyncio.timeout(SECONDS):
            await admin.start()
            created = await _create_missing(admin, topics, replication)
            while True:
                if await _complete(admin, topics):
                    return created
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TopicsError(f"the broker at {kafka} did not provide all topics in {SECONDS:.0f} s") from None
    except KafkaError as error:
        raise TopicsError(f"the broker at {kafka} did not create the topics: {error}") from None
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication: int | None) -> int:
    # Only names that exist are ever asked for: a broker may create what it is asked about.
    existing = set(await admin.list_topics())
    missing = [topic for topic in topics if topic.name not in existing]
    answer = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions,
                replication or topic.replication,
                topic_configs=topic.configs,
            )
            for topic in missing
        ]
    )
    for name, code, *reason in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise TopicsError(f"topic {name}: {reason[0] if reason and reason[0] else for_code(code).__name__}")
    return len(missing)


async def _complete(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> bool:
    wanted = {topic.name: topic.partitions for topic in topics}
    existing = set(await admin.list_topics())
    if not existing.issuperset(wanted):
        return False
    for topic in await admin.describe_topics(sorted(wanted)):
        if topic["error_code"] or any(partition["leader"] < 0 for partition in topic["partitions"]):
            return False
        name, count = topic["topic"], len(topic["partitions"])
        if count != wanted[name]:
            raise TopicsError(f"topic {name} has {count} partitions, not {wanted[name]} as {FILE.name} says")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Create the topics that a broker lacks.")
    parser.add_argument(
        "--replication",
        type=int,
        default=int(os.environ.get("KAFKA_REPLICATION", "0")) or None,
        help="copies of each partition (KAFKA_REPLICATION; otherwise as the file says)",
    )
    options, kafka = asked_of(parser)
    try:
        created = asyncio.run(provision(kafka, replication=options.replication))
    except TopicsError as error:
        print(f"topics: {error}", file=sys.stderr)
        return 1
    print(f"topics: {created} created, all {len(with_snapshots(read()))} there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
