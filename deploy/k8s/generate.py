"""Writes what of deploy/k8s follows from the rest of the project: `python -m deploy.k8s.generate`, or `make contracts`.

    base/kafka/topics.yaml     a KafkaTopic for each topic of deploy/topics.yaml, and for each snapshot
    base/kafka/users.yaml      a KafkaUser for each process, which may read what its reactions hear and write its own
    base/scaling.yaml          a ScaledObject for each service, up to the partitions of what it hears
    base/gateway/envoy.yaml, base/gateway/drain.sh   the same as in deploy/, to the byte

A test fails when the files are not what this would write. `python -m deploy.k8s.generate agency ID TOPIC …` prints the
KafkaUser and the two KafkaTopics of another agency instead: what `deploy.agencies.access` grants where no Strimzi is.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kafka.admin import ACLResourcePatternType

from deploy.agencies import ANSWERS, INBOUND
from deploy.agencies.access import BYTES_IN, BYTES_OUT, RETENTION_HOURS, NotGranted, check, rights
from deploy.agencies.gate import GROUP
from deploy.local.ports import SERVICES
from deploy.topics import SNAPSHOT, Topic, with_snapshots
from deploy.topics import read as read_topics
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered
from shared.run import load

HERE = Path(__file__).parent
DEPLOY = HERE.parent
CLUSTER = "kuaizhao"
"""The Kafka resource of Strimzi that topics and users belong to."""
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap:9093"
FEED, FEED_ANSWERS = GigOffered.topic, FeedAnswered.topic
PATTERNS = {ACLResourcePatternType.LITERAL: "literal", ACLResourcePatternType.PREFIXED: "prefix"}
LAG_FOR_ONE_MORE = 1_000
"""Events that wait for a group before it gets one more process: half a second of one process' work
(docs/performance.md)."""
HEADER = "# Written by `python -m deploy.k8s.generate`: change what it is made from, not this.\n"

Resource = dict[str, Any]


def hears() -> dict[str, list[str]]:
    """The topics that each service reacts to, by its own table of reactions."""
    return {name: load(name).reactions.topics for name in SERVICES}


# --- Kafka -----------------------------------------------------------------------------------------------------------


def topic(topic: Topic) -> Resource:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": topic.replication,
            "config": {name: int(value) if value.isdecimal() else value for name, value in topic.configs.items()},
        },
    }


def user(
    name: str, *, reads: Iterable[str] = (), writes: Iterable[str] = (), groups: Sequence[Resource] = ()
) -> Resource:
    """A user with a certificate of its own, who may do this and nothing else."""
    acls = [
        *(_allowed("topic", name, "Describe", "Read") for name in sorted(reads)),
        *(_allowed("topic", name, "Describe", "Write") for name in sorted(writes)),
        *groups,
    ]
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {"authentication": {"type": "tls"}, "authorization": {"type": "simple", "acls": acls}},
    }


def _allowed(kind: str, name: str, *operations: str, pattern: str = "literal") -> Resource:
    return {"resource": {"type": kind, "name": name, "patternType": pattern}, "operations": list(operations)}


def users(topics: Sequence[Topic], hears: Mapping[str, Sequence[str]]) -> list[Resource]:
    """Each service's, the page's, that of the gate and the snapshots, the scaler's, and that of the command `kuaizhao`.

    A service writes the topics that bear its name, its dead letters among them, and joins the one group that does.
    The command reads all, for a restore, and writes nothing.
    """
    services = [
        user(
            name,
            reads=heard,
            writes=[topic.name for topic in topics if topic.name.partition(".")[0] == name],
            groups=[_allowed("group", name, "Read", "Describe")],
        )
        for name, heard in hears.items()
    ]
    page = user("web", reads=open_topics(topics))
    copied = [topic.name for topic in topics if topic.snapshot]
    copies = [name + SNAPSHOT for name in copied]
    agencies = user("agencies", reads=[FEED_ANSWERS, *copied, *copies], writes=[FEED, *copies])
    agencies["spec"]["authorization"]["acls"] += [
        _allowed("topic", INBOUND, "Describe", "Read", pattern="prefix"),
        _allowed("topic", ANSWERS, "Describe", "Write", pattern="prefix"),
        _allowed("group", GROUP, "Read", "Describe"),
    ]
    heard = sorted({topic for each in hears.values() for topic in each})
    scaler = user("scaler")
    scaler["spec"]["authorization"]["acls"] = [
        *(_allowed("topic", name, "Describe") for name in heard),
        *(_allowed("group", name, "Describe") for name in hears),
    ]
    operations = user(
        "operations",
        reads=[topic.name for topic in topics],
        groups=[_allowed("group", name, "Describe") for name in hears],
    )
    return [*services, page, agencies, scaler, operations]


def agency(id: str, reads: Sequence[str]) -> list[Resource]:
    """Another agency's user, who signs in by SCRAM-SHA-512, and its two topics. `reads`: the topics that it may read.

    Raises:
        NotGranted: the id is none that Kubernetes takes for a name, or a topic may not be opened.
    """
    check(id, reads)
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", id):
        raise NotGranted(f"{id!r} is no name on Kubernetes: lower-case letters, digits and hyphens between them")
    acls = [
        _allowed(
            resource.resource_type.name.lower(),
            resource.resource_name,
            operation.name.capitalize(),
            pattern=PATTERNS[resource.pattern_type],
        )
        for resource, operation in rights(id, reads)
    ]
    made = user(id)
    made["spec"] = {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {"type": "simple", "acls": acls},
        "quotas": {"producerByteRate": BYTES_IN, "consumerByteRate": BYTES_OUT},
    }
    own = [Topic(name + id, "agency_id", 1, 1, RETENTION_HOURS) for name in (INBOUND, ANSWERS)]
    return [made, *map(topic, own)]


def open_topics(topics: Iterable[Topic]) -> list[str]:
    """What anybody may read. Dead letters hold what could not be read: not they."""
    return [topic.name for topic in topics if not topic.name.endswith(".dead")]


# --- scaling ---------------------------------------------------------------------------------------------------------


def scaler(name: str, heard: Iterable[str], partitions: Mapping[str, int]) -> Resource:
    """One process more for each `LAG_FOR_ONE_MORE` events that wait, and never more than have a partition to read."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": 2,
            "maxReplicaCount": max(partitions[topic] for topic in heard),
            "pollingInterval": 15,
            # When the broker does not say, as many as there are.
            "fallback": {"failureThreshold": 4, "replicas": 2, "behavior": "currentReplicas"},
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {
                        # Each change of members stops the group for a moment, so it goes up in steps and down slowly.
                        "scaleUp": {
                            "stabilizationWindowSeconds": 30,
                            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}],
                        },
                        "scaleDown": {
                            "stabilizationWindowSeconds": 900,
                            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}],
                        },
                    }
                }
            },
            "triggers": [
                {
                    "type": "kafka",
                    "metadata": {
                        "bootstrapServers": BOOTSTRAP,
                        "tls": "enable",
                        "consumerGroup": name,  # without a topic: all that the group reads
                        "lagThreshold": str(LAG_FOR_ONE_MORE),
                        "offsetResetPolicy": "earliest",
                        "version": "3.6.0",  # the scaler's own default is older than what Kafka 4 understands
                    },
                    "authenticationRef": {"name": "kafka"},
                },
                # Requests bring no lag.
                {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "200"}},
            ],
        },
    }


# --- files -----------------------------------------------------------------------------------------------------------


def made() -> dict[Path, str]:
    """Every file that this writes, and what belongs in it."""
    topics, heard = read_topics(), hears()
    partitions = {topic.name: topic.partitions for topic in topics}
    return {
        HERE / "base" / "kafka" / "topics.yaml": text(map(topic, with_snapshots(topics))),
        HERE / "base" / "kafka" / "users.yaml": text(users(topics, heard)),
        HERE / "base" / "scaling.yaml": text(scaler(name, each, partitions) for name, each in heard.items()),
        HERE / "base" / "gateway" / "envoy.yaml": (DEPLOY / "envoy.yaml").read_text("utf-8"),
        HERE / "base" / "gateway" / "drain.sh": (DEPLOY / "drain.sh").read_text("utf-8"),
    }


def stale() -> list[Path]:
    """Files that are not what this would write."""
    return [path for path, text in made().items() if not path.exists() or path.read_text("utf-8") != text]


def text(resources: Iterable[Resource]) -> str:
    documents: str = yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True, width=120)
    return HEADER + documents


def main() -> None:
    match sys.argv[1:]:
        case []:
            for path, content in made().items():
                path.write_text(content, "utf-8")
        case ["agency", id, *reads]:
            try:
                print(text(agency(id, reads)), end="")
            except NotGranted as error:
                sys.exit(f"generate: {error}")
        case _:
            sys.exit("usage: python -m deploy.k8s.generate [agency ID TOPIC ...]")


if __name__ == "__main__":
    main()
