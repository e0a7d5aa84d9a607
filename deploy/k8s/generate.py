"""Writes what of deploy/k8s follows from the rest of the project: `python -m deploy.k8s.generate`, or `make contracts`.

    base/kafka/topics.yaml     a KafkaTopic for each topic of deploy/topics.yaml
    base/kafka/users.yaml      a KafkaUser for each process, which may read what its reactions hear and write its own
    base/scaling.yaml          a ScaledObject for each service, up to the partitions of what it hears
    base/gateway/envoy.yaml, base/gateway/drain.sh   the same as in deploy/, to the byte

A test fails when the files are not what this would write. `python -m deploy.k8s.generate agency NAME` prints the
KafkaUser of another agency instead.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.local.ports import SERVICES
from deploy.topics import Topic
from deploy.topics import read as read_topics
from shared.run import load

HERE = Path(__file__).parent
DEPLOY = HERE.parent
CLUSTER = "kuaizhao"
"""The Kafka resource of Strimzi that topics and users belong to."""
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap:9093"
FEED = "agencies.gig"
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
    hours = topic.retention_hours
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": topic.replication,
            "config": {"retention.ms": max(-1, hours * 3_600_000)},
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
    """Each service's, the page's, the scaler's, and that of the command `kuaizhao`.

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
    return [*services, page, scaler, operations]


def agency(name: str, topics: Sequence[Topic]) -> Resource:
    """Another agency's: it reads every open topic in groups that begin with its name, and may write to the feed."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise ValueError(
            f"{name!r} is no name of an agency: up to 40 lower-case letters, digits and hyphens, a letter first"
        )
    name = f"agency-{name}"
    groups = [_allowed("group", f"{name}-", "Read", "Describe", pattern="prefix")]
    return user(name, reads=open_topics(topics), writes=[FEED], groups=groups)


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
        HERE / "base" / "kafka" / "topics.yaml": text(map(topic, topics)),
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
        case ["agency", name]:
            try:
                print(text([agency(name, read_topics())]), end="")
            except ValueError as error:
                sys.exit(f"generate: {error}")
        case _:
            sys.exit("usage: python -m deploy.k8s.generate [agency NAME]")


if __name__ == "__main__":
    main()
