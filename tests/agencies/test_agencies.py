"""Agencies subscribe and feed on a real broker, each with what it was granted and nothing else (FEATURES F12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from kafka import KafkaAdminClient, KafkaProducer
from kafka.protocol.admin import DescribeClientQuotasRequest

from deploy.agencies import ANSWERS, INBOUND, access, gate
from deploy.agencies import __main__ as process
from deploy.agencies.access import BYTES_IN, BYTES_OUT, Granted, NotGranted, grant, revoke
from deploy.agencies.snapshots import Copied, NotCopied, copy
from deploy.local.ports import free_ports
from deploy.local.process import until
from deploy.local.stack import Stack
from deploy.topics import SNAPSHOT
from shared import clock
from shared.broker import Broker as At
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered
from shared.unit import OutboxRow, outbox_row
from tests import skips
from tests.agencies.__main__ import faults, line
from tests.agencies.act import Scene, act
from tests.agencies.samples import SAMPLES, Sample
from tests.agencies.world import OPEN_TOPICS, SIGNED_IN, Broker
from tests.e2e.guarded import GuardedStack
from tests.service.posting.market import draft

# On a new machine four languages fetch what they need first.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kafka_log, pytest.mark.timeout(1_800)]

ONE, TWO, THREE = (f"01a199d7-9100-7c2a-8f10-00000000000{letter}" for letter in "abc")
PATIENCE = 120.0

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.language for sample in SAMPLES])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with act(tmp_path_factory.mktemp("agencies"), mongo_url) as played:
        yield played


@pytest.fixture
def broker(scene: Scene) -> Broker:
    return scene.broker


def ran(sample: Sample) -> None:
    if sample.missing():
        pytest.skip(skips.NO_CLIENT[sample.language])


# --- who subscribes -------------------------------------------------------------------------------------------------


@pytest.mark.feature("F12")
@each_sample
async def test_a_subscriber_from_the_beginning_has_the_services_own_state(scene: Scene, sample: Sample) -> None:
    """What it read has fields, headers and event types that it cannot know, and some events twice."""
    ran(sample)
    count, digest = scene.from_the_beginning[sample.language]
    assert digest == scene.owners[0]
    assert count > len(scene.market.said()) / 2


@pytest.mark.feature("F12")
@each_sample
async def test_a_late_one_goes_on_from_the_snapshot_without_a_gap(scene: Scene, sample: Sample) -> None:
    """All that had been said was gone from the topics; without the snapshots it is missed."""
    ran(sample)
    assert scene.forgotten > 200
    count, digest = scene.late[sample.language]
    assert digest == scene.owners[1] != scene.owners[0]
    assert count > sum(each.events for each in scene.copied.values())
    assert scene.late_without_snapshots["python"][1] != digest


@pytest.mark.feature("F12")
async def test_nothing_that_they_read_is_personal(scene: Scene) -> None:
    assert scene.personal == []
    assert min(scene.standing) > 0
    assert faults(scene) == []
    assert line(scene).endswith("hashes equal, 0 personal data")
    other = {"python": (440, "0" * 64)}
    assert "HASHES DIFFER" in line(replace(scene, from_the_beginning=scene.from_the_beginning | other))
    assert line(replace(scene, personal=["a phone"])).endswith("hashes equal, 1 personal data")


# --- snapshots ------------------------------------------------------------------------------------------------------


async def test_a_copy_has_the_latest_of_each_type_and_is_copied_once(scene: Scene, broker: Broker) -> None:
    before, after = scene.compacted
    assert before >= after > 0
    for topic in OPEN_TOPICS:
        assert scene.copied[topic].events > 0
        first, again = await copy(broker.ours, topic), await copy(broker.ours, topic)
        assert first.events > 0 == again.events
        assert (first.mended, first.gaps, again.mended, again.gaps) == (0, [], 0, [])


def row(n: int, sequence: int, kind: str = "posting.gig-amended.v1") -> OutboxRow:
    """An event of gig `n` of a topic that the act does not use."""
    event = FeedAnswered(offered_id=f"a/{n}", agency_id="a", origin_id=str(n), outcome="posted")
    made = outbox_row(event, f"{n}-{sequence}", sequence, "test", clock.now(), {})
    headers = made.headers | {"ce_type": kind}
    return replace(made, headers=headers, topic="posting.gig", key=b"430102")


async def test_what_an_overtaken_run_writes_late_is_mended(broker: Broker) -> None:
    """Kafka keeps the last record of a key: an older event behind a newer one is put right by the next run."""
    await broker.say([row(1, 1), row(1, 2)])
    await copy(broker.ours, "posting.gig")
    stale = row(1, 1)
    headers = stale.headers | {"copied_offset": "0"}
    late = replace(stale, topic="posting.gig" + SNAPSHOT, headers=headers)
    (place,) = {r.partition for r in await broker.records("posting.gig" + SNAPSHOT) if b"a/1 " in r.key}
    await broker.put(late, key=b"a/1 posting.gig-amended.v1", partition=place)
    mended = await copy(broker.ours, "posting.gig")
    assert (mended.events, mended.mended) == (0, 1)
    copies = [r for r in await broker.records("posting.gig" + SNAPSHOT) if r.key == b"a/1 posting.gig-amended.v1"]
    assert [dict(r.headers)["ce_sequence"] for r in copies][-2:] == [b"1", b"2"]
    assert (await copy(broker.ours, "posting.gig")).mended == 0


async def test_what_is_gone_before_it_was_copied_is_said(broker: Broker) -> None:
    await broker.say([row(2, 1)])
    await copy(broker.ours, "posting.gig")
    await broker.say([row(2, 2)])
    await broker.forget("posting.gig")
    (gap,) = (await copy(broker.ours, "posting.gig")).gaps
    assert "were deleted before they were copied" in gap


# --- who may what ---------------------------------------------------------------------------------------------------


@pytest.mark.feature("F12")
async def test_an_agency_reads_what_it_was_granted_and_writes_its_own_topic_alone(broker: Broker) -> None:
    one = await asyncio.to_thread(grant, broker.ours, ONE, ["posting.gig"])
    await asyncio.to_thread(grant, broker.ours, TWO, ["posting.gig"])
    await broker.say([row(3, 1)])
    assert await broker.read_as(ONE, one.password, "posting.gig", group=f"{ONE}.app")
    await broker.write_as(ONE, one.password, INBOUND + ONE, b"{}")

    for closed in ("matching.placement", "agencies.gig", "posting.feed", ANSWERS + TWO, INBOUND + TWO, INBOUND + ONE):
        with pytest.raises(TopicAuthorizationFailedError):
            await broker.read_as(ONE, one.password, closed)
    for closed in ("posting.gig", "posting.gig" + SNAPSHOT, "agencies.gig", INBOUND + TWO, ANSWERS + ONE):
        with pytest.raises(TopicAuthorizationFailedError):
            await broker.write_as(ONE, one.password, closed, b"{}")
    with pytest.raises(GroupAuthorizationFailedError):
        await broker.read_as(ONE, one.password, "posting.gig", group=f"{TWO}.app")
    with pytest.raises(KafkaError):  # it cannot sign in
        await broker.read_as(ONE, "wrong", "posting.gig")

    await asyncio.to_thread(revoke, broker.ours, ONE)
    with pytest.raises(KafkaError):  # it cannot sign in
        await broker.read_as(ONE, one.password, "posting.gig")


async def test_what_is_granted_anew_replaces_what_was(scene: Scene, broker: Broker) -> None:
    before = await asyncio.to_thread(grant, broker.ours, ONE, ["posting.gig", "matching.placement"])
    await broker.say(scene.market.said()[-40:])
    await broker.read_as(ONE, before.password, "matching.placement")
    after = await asyncio.to_thread(grant, broker.ours, ONE, ["posting.gig"])
    with pytest.raises(TopicAuthorizationFailedError):
        await broker.read_as(ONE, after.password, "matching.placement")
    with pytest.raises(KafkaError):  # it cannot sign in
        await broker.read_as(ONE, before.password, "posting.gig")


@pytest.mark.parametrize(
    ("agency", "reads", "said"),
    [
        ("a/b", ["posting.gig"], "no id of an account"),
        ("", [], "no id of an account"),
        (ONE, ["posting.dead"], "posting.dead is not open"),
        (ONE, ["posting.feed"], "posting.feed is not open"),
        (ONE, ["posting.gigs"], "posting.gigs is not open"),
    ],
)
async def test_what_cannot_be_granted_is_said(broker: Broker, agency: str, reads: list[str], said: str) -> None:
    with pytest.raises(NotGranted, match=said):
        grant(broker.ours, agency, reads)


async def test_a_flood_is_slowed_down_by_the_broker_and_by_nothing_but_the_quota(broker: Broker) -> None:
    """A post that is ten seconds of the quota, the broker's window, is too fast however slow the machine is."""
    flood = b"x" * 900_000
    assert len(flood) > 10 * BYTES_IN
    held = await asyncio.to_thread(grant, broker.ours, "flood-held", [])
    assert await asyncio.to_thread(_throttled_ms, broker, held, flood) > 0
    free = await asyncio.to_thread(grant, broker.ours, "flood-free", [], bytes_in=100 * len(flood))
    assert await asyncio.to_thread(_throttled_ms, broker, free, flood) == 0


def _throttled_ms(broker: Broker, agency: Granted, body: bytes) -> float:
    """How long the broker has the agency wait after it has written this."""
    producer = KafkaProducer(
        bootstrap_servers=broker.theirs,
        security_protocol=SIGNED_IN["security_protocol"],
        sasl_mechanism=SIGNED_IN["sasl_mechanism"],
        sasl_plain_username=agency.user,
        sasl_plain_password=agency.password,
    )
    try:
        producer.send(agency.writes, body).get(timeout=PATIENCE)
        found: float = producer.metrics()["producer-metrics"]["throttle-time-max"]
        return found
    finally:
        producer.close(timeout=0)


async def test_the_broker_limits_what_each_agency_writes_and_reads(broker: Broker) -> None:
    await asyncio.to_thread(grant, broker.ours, ONE, [])
    assert await asyncio.to_thread(_quota, broker.ours, ONE) == {
        "producer_byte_rate": BYTES_IN,
        "consumer_byte_rate": BYTES_OUT,
    }
    await asyncio.to_thread(revoke, broker.ours, ONE)
    assert await asyncio.to_thread(_quota, broker.ours, ONE) == {}


def _quota(kafka: At, user: str) -> dict[str, float]:
    admin = KafkaAdminClient(**kafka.options)
    try:
        request = DescribeClientQuotasRequest
        asked = request.ComponentData(entity_type="user", match_type=0, match=user)
        answer = admin._manager.run(admin._manager.send, request(components=[asked], strict=True))
        return {value.key: value.value for entry in answer.entries or () for value in entry.values}
    finally:
        admin.close()


# --- who feeds ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def gate_of(broker: Broker) -> AsyncIterator[None]:
    ends = asyncio.Event()
    running = asyncio.create_task(gate.Gate(broker.ours).run(ends))
    try:
        yield
    finally:
        ends.set()
        with suppress(asyncio.CancelledError):
            await running


async def answers_of(broker: Broker, agency: str, password: str, count: int) -> list[tuple[Any, dict[str, bytes]]]:
    """The first so many answers, read as the agency reads them."""
    async with asyncio.timeout(PATIENCE):
        while True:
            there = len(await broker.records(ANSWERS + agency))
            if there >= count:
                records = await broker.read_as(agency, password, ANSWERS + agency)
                return [(orjson.loads(each.value), dict(each.headers)) for each in records]
            await asyncio.sleep(0.2)


@pytest.mark.feature("F12")
async def test_a_malformed_post_comes_back_to_its_agency_alone_and_a_right_one_goes_on_under_its_name(
    broker: Broker,
) -> None:
    three = await asyncio.to_thread(grant, broker.ours, THREE, [])
    two = await asyncio.to_thread(grant, broker.ours, TWO, [])
    post = {"credit_code": "91430100MA00000003"} | draft()
    bodies = [
        b"not json",
        orjson.dumps({"origin_id": "A-1"}),
        orjson.dumps({"agency_id": TWO, "origin_id": "A-2", "post": post}),
        orjson.dumps({"origin_id": "A-3", "post": post}),
    ]
    for body in bodies:
        await broker.write_as(THREE, three.password, INBOUND + THREE, body, key=TWO.encode(), headers=[("ce_id", b"1")])
    answer = FeedAnswered(offered_id=f"{TWO}/B-1", agency_id=TWO, origin_id="B-1", outcome="posted", gig_id="g")
    await broker.say([outbox_row(answer, "answer-1", 1, "posting", clock.now(), {})])
    async with gate_of(broker):
        told = await answers_of(broker, THREE, three.password, 3)
        other = await answers_of(broker, TWO, two.password, 1)
    assert [(body["outcome"], body["code"], body["origin_id"]) for body, _ in told] == [
        ("refused", "unreadable", ""), ("refused", "unreadable", "A-1"), ("refused", "unreadable", "A-2"),
    ]  # fmt: skip
    assert [[fault["field"] for fault in body["faults"]] for body, _ in told] == [["post"], ["post"], ["agency_id"]]
    assert told[0][0]["faults"][0]["zh"].startswith("应为包含")
    assert told[0][1]["about"].startswith(f"{INBOUND}{THREE}:0:".encode())
    assert [body["origin_id"] for body, _ in other] == ["B-1"]

    (passed,) = [each for each in await broker.records("agencies.gig") if b"A-3" in each.value]
    headers = dict(passed.headers)
    assert (passed.key, headers["ce_id"], headers["ce_subject"]) == (THREE.encode(), f"{THREE}:1".encode(), b"A-3")
    assert headers["ce_type"].decode() == GigOffered.type
    assert GigOffered.model_validate_json(passed.value).agency_id == THREE
    assert not [each for each in await broker.records("agencies.gig") if b"A-2" in each.value]


# --- the process and the local stack ---------------------------------------------------------------------------------


async def ready(stack: Stack) -> tuple[int, list[str]]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{stack.url('agencies')}/ready", timeout=30)
    return answer.status_code, answer.json()["reasons"]


async def until_ready(stack: Stack, status: int) -> list[str]:
    """Return, with its reasons, when the process answers so."""
    reasons: list[str] = []

    async def answers_so() -> bool:
        found, reasons[:] = await ready(stack)
        return found == status

    async with asyncio.timeout(PATIENCE):
        await until(answers_so, every=0.2)
    return reasons


@pytest.mark.feature("F12")
@pytest.mark.parametrize("kind", [Stack, GuardedStack])
async def test_a_stack_has_the_gate_and_the_snapshots_and_their_health_is_true(
    tmp_path: Path, kind: type[Stack]
) -> None:
    """Also where they may do only what deploy/k8s lets them do."""
    async with kind(tmp_path, ports=free_ports(), parts=["agencies"], say=lambda line: None) as stack:
        local = Broker(At(stack.kafka), stack.kafka_for_agencies)
        one = await asyncio.to_thread(grant, local.ours, ONE, ["posting.gig"])
        await local.write_as(ONE, one.password, INBOUND + ONE, b"not json")
        ((answer, _),) = await answers_of(local, ONE, one.password, 1)
        assert answer["code"] == "unreadable"

        assert await until_ready(stack, 200) == []
        await stack.kill("kafka")
        assert await until_ready(stack, 503)
        await stack.start("kafka")
        await local.write_as(ONE, one.password, INBOUND + ONE, b"nor this")
        assert len(await answers_of(local, ONE, one.password, 2)) == 2
        assert await until_ready(stack, 200) == []


async def test_snapshots_that_fail_are_tried_again_and_told_of(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    mended = asyncio.Event()

    async def copy_all(kafka: At) -> dict[str, Copied]:
        if not mended.is_set():
            raise NotCopied("posting.gig.snapshot is not there")
        return {"posting.gig": Copied(0, 0, ["a gap"])}

    monkeypatch.setattr(process, "copy_all", copy_all)
    agencies = process.Agencies(broker.ours, every=0.1)

    async def only_the_snapshots_fail() -> bool:
        return await agencies.faults() == ["snapshots: posting.gig.snapshot is not there"]

    async def nothing_fails() -> bool:
        return not await agencies.faults()

    async with agencies.running(), asyncio.timeout(PATIENCE):
        await until(only_the_snapshots_fail)
        mended.set()
        await until(nothing_fails)


async def test_the_topics_that_are_open_are_those_that_services_say() -> None:
    assert {"posting.gig", "matching.placement"} <= set(access.grantable())
    assert not [
        name for name in access.grantable() if name.endswith(".dead") or name in ("agencies.gig", "posting.feed")
    ]
