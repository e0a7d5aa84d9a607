"""What goes out to everybody on a running market: enough to rebuild its state, and nothing of who somebody is."""

import hashlib
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import orjson
import pytest
import pytest_asyncio

from clients.city.people import People, credit_code, id_number
from deploy.local.stack import Stack
from deploy.topics import read
from tests.chaos.image import records
from tests.e2e.journey import Story, eventually
from tests.e2e.smoke import walk

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORY = 7


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(whole_market: Stack) -> AsyncIterator[Story]:
    """Somebody was hired."""
    market = whole_market
    story = Story(market.gateway, market.url("web"), market.operator_password, n=STORY)
    async with story.open():
        await walk(story)
        yield story


async def every_record(market: Stack) -> list[Any]:
    """All records of all topics, those of the dead letters too."""
    return [record async for record in records(market.kafka, [topic.name for topic in read()], {})]


@pytest.mark.feature("F7")
async def test_no_topic_no_log_and_no_trace_says_who_somebody_is(whole_market: Stack, story: Story) -> None:
    phones = (People(1).worker(STORY).phone, People(1).employer(STORY).phone)
    secrets = {
        "name": "乙二",
        "contact": "甲一",
        "id number": id_number(date(1970, 5, 4), 2 * STORY + 2),
        "phone": phones[0].removeprefix("+86"),
        "employer's phone": phones[1].removeprefix("+86"),
    }
    topics = b"\n".join(
        part
        for record in await every_record(whole_market)
        for part in (record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers))
    )
    logs = b"\n".join(process.log.read_bytes() for process in whole_market.processes.values())
    traces = orjson.dumps(await story.trace())
    # So that it is known that what is searched is really there.
    assert story.worker.account_id.encode() in topics
    assert story.placement_id.encode() in topics
    assert credit_code(f"{STORY:08d}").encode() not in topics
    assert all(name.encode() in logs for name in ("matching", "identity", "workers"))
    assert b"matching" in traces
    found = [
        f"{what} in {where}"
        for what, secret in secrets.items()
        for where, text in (("a topic", topics), ("a log", logs), ("a trace", traces))
        if any(written in text for written in (secret.encode(), orjson.dumps(secret)[1:-1]))
    ]
    assert found == []


def state_of(events: list[tuple[str, str, int, dict[str, Any]]]) -> dict[str, Any]:
    """What a subscriber remembers of gigs and placements: the newest of each, whatever order topics are read in."""
    gigs: dict[str, Any] = {}
    placements: dict[str, Any] = {}
    for type_, subject, _, body in sorted(events, key=lambda each: (each[1], each[2])):
        match type_:
            case "posting.gig-posted.v1" | "posting.gig-amended.v1":
                gigs[subject] = {"status": "open", "district": body["district"], "title": body["terms"]["title"]}
            case "posting.gig-closed.v1":
                gigs[subject]["status"] = "closed"
            case "matching.placement-made.v1":
                placements[subject] = {"gig_id": body["gig_id"], "worker_id": body["worker_id"], "stands": True}
            case "matching.placement-cancelled.v1":
                placements[subject]["stands"] = False
    return {"gigs": gigs, "placements": placements}


async def subscriber(market: Stack) -> dict[str, Any]:
    """An agency that reads the open topics from their beginning, by what docs/events.md says and nothing else."""
    seen: dict[str, tuple[str, str, int, dict[str, Any]]] = {}
    async for record in records(market.kafka, ["posting.gig", "matching.placement"], {}):
        headers = {name: value.decode() for name, value in record.headers}
        seen[headers["ce_id"]] = (
            headers["ce_type"],
            headers["ce_subject"],
            int(headers["ce_sequence"]),
            orjson.loads(record.value),
        )
    return state_of(list(seen.values()))


def digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(state, option=orjson.OPT_SORT_KEYS)).hexdigest()


@pytest.mark.feature("F12")
async def test_who_reads_from_the_start_has_the_same_state(whole_market: Stack, story: Story) -> None:
    """Two who come at different times, and the services that own it, as their interfaces say it."""
    first = await subscriber(whole_market)
    await story.employer.post(f"posting/gigs/{story.gig_id}/close")
    await story.worker.post(f"matching/placements/{story.placement_id}/cancel")

    async def said() -> bool:
        state = await subscriber(whole_market)
        return not state["placements"][story.placement_id]["stands"] and state["gigs"][story.gig_id]["status"] != "open"

    await eventually(said, "the cancellation in the log")
    second, third = await subscriber(whole_market), await subscriber(whole_market)
    assert digest(first) != digest(second) == digest(third)
    owners: dict[str, Any] = {"gigs": {}, "placements": {}}
    for id in second["gigs"]:
        gig = await story.worker.get(f"posting/gigs/{id}")
        status = "closed" if gig["closed_reason"] else "open"
        owners["gigs"][id] = {"status": status, "district": gig["district"], "title": gig["title"]}
    for item in (await story.worker.get("matching/placements"))["items"]:
        owners["placements"][item["placement_id"]] = {
            "gig_id": item["gig_id"],
            "worker_id": story.worker.account_id,
            "stands": item["status"] not in ("cancelled", "lapsed"),
        }
    mine = {id: p for id, p in second["placements"].items() if p["worker_id"] == story.worker.account_id}
    assert digest(owners) == digest({"gigs": second["gigs"], "placements": mine})
