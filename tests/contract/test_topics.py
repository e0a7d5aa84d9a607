"""Topics are provisioned for what is said: deploy/topics.yaml, the catalogue and the inbox agree."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import deploy
from shared.contracts import Event, catalogue
from shared.store import INBOX_DAYS

KINDS = list(catalogue().values())


def topics() -> dict[str, dict[str, Any]]:
    """The topics file with its defaults filled in, by topic name."""
    file = yaml.safe_load((Path(deploy.__path__[0]) / "topics.yaml").read_text("utf-8"))
    return {topic["name"]: file["defaults"] | topic for topic in file["topics"]}


def topic_faults(topics: dict[str, dict[str, Any]], kinds: list[type[Event]], inbox_days: int) -> list[str]:
    """What is wrong with the provisioned topics, a sentence each."""
    faults = []
    for kind in kinds:
        topic = topics.get(kind.topic)
        if topic is None:
            faults.append(f"{kind.topic} of {kind.type} is not provisioned")
        elif topic["key"] != kind.key_field:
            faults.append(f"{kind.type} is keyed by {kind.key_field}, its topic by {topic['key']}")
    said = {kind.topic for kind in kinds}
    for name, topic in topics.items():
        if name not in said and not name.endswith(".dead"):
            faults.append(f"{name} is provisioned, but nothing is said on it")
        if topic["retention_hours"] * 2 > inbox_days * 24:
            faults.append(f"{name} keeps events longer than half of the {inbox_days} days the inbox knows them")
    market = {name: topic["partitions"] for name, topic in topics.items() if topic["key"] == "district"}
    if len(set(market.values())) > 1:
        faults.append(f"market topics differ in partitions, so a district's market would be torn apart: {market}")
    return faults


def test_topics_fit_the_events() -> None:
    assert topic_faults(topics(), KINDS, INBOX_DAYS) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"posting.gig": None}, "posting.gig of posting.gig-posted.v1 is not provisioned"),
        ({"posting.gig": {"key": "gig_id"}}, "posting.gig-posted.v1 is keyed by district, its topic by gig_id"),
        ({"posting.gig": {"partitions": 6}}, "market topics differ in partitions"),
        ({"notify.delivery": {"retention_hours": 24 * 30}}, "notify.delivery keeps events longer"),
        ({"posting.mug": {"name": "posting.mug", "key": "mug_id"}}, "posting.mug is provisioned, but nothing"),
    ],
)
def test_a_wrong_topic_is_noticed(change: dict[str, dict[str, Any] | None], fault: str) -> None:
    changed = topics()
    for name, part in change.items():
        if part is None:
            del changed[name]
        else:
            changed[name] = {"partitions": 12, "retention_hours": 168} | changed.get(name, {}) | part
    assert any(said.startswith(fault) for said in topic_faults(changed, KINDS, INBOX_DAYS))
