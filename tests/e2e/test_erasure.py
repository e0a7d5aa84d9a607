"""Somebody was hired and leaves the market: what it held of them they can have first, and then nobody can read it.

In databases (each document's own bytes, and the oplog), topics, logs and the trace store.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime
from typing import Any

import bson
import orjson
import pytest
import pytest_asyncio
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from clients.city.client import SERVICES, Client, Refusal
from clients.city.people import People, id_number
from deploy.local.stack import Stack
from deploy.topics import read
from shared.bus import letter_of
from shared.contracts.identity import AccountErased
from shared.delivery import Letter
from shared.run import load
from shared.sealed import PersonalSealer, Sealer, Shredded
from shared.settings import Settings
from shared.testing import harness
from shared.unit import Unit
from tests.chaos.image import records
from tests.e2e.journey import Story, eventually
from tests.e2e.smoke import walk

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.feature("F37")]

STORY = 37
RAW = CodecOptions(document_class=RawBSONDocument)

OTHERWISE = {
    "_answers": "answers to repeated commands: what they say is in the export, and they are gone after a day",
    "_audit": "what clerks and operators did, by ids; for audits",
    "_blocked": "aggregates whose events wait, by ids",
    "_dead": "events that were set aside, by ids; for operators",
    "_keys": "the key itself, or that it was destroyed",
    "_outbox": "events on their way, by ids",
    "_streams": "how many events were said of each aggregate",
    "_timers": "when something falls due, by ids",
    "matching.commitments": "the hours that a worker has promised, and to whom; shown to the worker",
    "matching.gigs": "posts, which are public; a business of the public register by its id",
    "matching.offers": "a worker's, shown to the worker; an employer has made them by its post",
    "matching.windows": "the arrays that a window was matched by, by ids, for some days: /api/matching/offers/{id}/why",
    "notify.gigs": "whose a post is and what it is called, which is public",
}
"""Collections that hold an account's id and are not in its export, and why."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(whole_market: Stack) -> AsyncIterator[Story]:
    """Somebody was hired."""
    made = Story(whole_market.gateway, whole_market.url("web"), whole_market.operator_password, n=STORY)
    async with made.open():
        await walk(made)
        yield made


def mongo(market: Stack) -> AsyncMongoClient[Any]:
    return AsyncMongoClient(market.mongo_url)


async def documents(market: Stack, *, prefix: str = "", oplog: bool = False) -> list[tuple[str, bytes]]:
    """Every document of every service's database, `<service>.<collection>`, as its own bytes; with what was there."""
    found: list[tuple[str, bytes]] = []
    async with mongo(market) as client:
        for name in (f"{prefix}{service}" for service in SERVICES):
            for collection in await client[name].list_collection_names():
                rows = client[name].get_collection(collection, RAW).find({})
                found += [(f"{name}.{collection}", row.raw) async for row in rows]
        if oplog:
            rows = client["local"].get_collection("oplog.rs", RAW).find({})
            found += [("local.oplog.rs", row.raw) async for row in rows]
    return found


def written(secret: str) -> Iterable[bytes]:
    """How a value may stand in bytes: as UTF-8, and as JSON writes it in ASCII."""
    return secret.encode(), ascii(secret)[1:-1].encode()


def found_in(places: Iterable[tuple[str, bytes]], secrets: dict[str, str]) -> list[str]:
    return sorted(
        {
            f"{what} in {place}"
            for place, text in places
            for what, secret in secrets.items()
            if any(form in text for form in written(secret))
        }
    )


async def everything(market: Stack, story: Story) -> list[tuple[str, bytes]]:
    """Databases, topics, logs, and the journey's spans."""
    topics = [
        (record.topic, part)
        async for record in records(market.kafka, [topic.name for topic in read()], {})
        for part in (record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers))
    ]
    logs = [(f"log of {name}", process.log.read_bytes()) for name, process in market.processes.items()]
    return [*await documents(market, oplog=True), *topics, *logs, ("traces", orjson.dumps(await story.trace()))]


def collections_of(service: str, person: str, market: list[tuple[str, bytes]]) -> set[str]:
    """The collections of a service in which somebody's id stands."""
    mine = (place for place, text in market if place.startswith(f"{service}.") and person.encode() in text)
    return {place.partition(".")[2] for place in mine}


async def test_every_collection_that_knows_a_person_is_exported_or_has_its_reason(
    whole_market: Stack, story: Story
) -> None:
    held = await documents(whole_market)
    for client in (story.worker, story.employer):
        mine = await client.my_data()
        for service in SERVICES:
            named = {holding.kind.collection for holding in load(service).personal}
            exported = {name for name, rows in mine[service]["collections"].items() if rows}
            there = collections_of(service, client.account_id, held)
            unexplained = {name for name in there - exported if not {name, f"{service}.{name}"} & OTHERWISE.keys()}
            assert unexplained == set(), (service, unexplained)
            assert exported <= named
    theirs = orjson.dumps(await story.worker.my_data())
    for secret in ("乙二", People(1).worker(STORY).phone, id_number(date(1970, 5, 4), 2 * STORY + 2)):
        assert secret.encode() in theirs
    assert collections_of("workers", story.worker.account_id, [("workers.new", story.worker.account_id.encode())])


async def test_the_other_side_reads_a_phone_and_the_person_sees_that_it_did(story: Story) -> None:
    read_ = await story.employer.post(f"identity/contacts/{story.worker.account_id}/readings")
    assert read_["phone"] == People(1).worker(STORY).phone
    (entry,) = (await story.worker.get("identity/me/readings"))["items"]
    assert (entry["by_id"], entry["ref"]) == (story.employer.account_id, story.placement_id)


def sealer(market: Stack, db: Any) -> PersonalSealer:
    """What the registry opens its people's fields with, and the keys that are kept in this database."""
    settings = Settings(secret=SecretStr(market.environment("workers")["KUAIZHAO_SECRET"]))
    return PersonalSealer(Sealer(settings, "workers"), Unit(db, None, source="test"))


async def test_nothing_of_who_was_erased_can_be_read_anywhere(whole_market: Stack, story: Story) -> None:
    people = People(1)
    phones = people.worker(STORY).phone, people.employer(STORY).phone
    secrets = {
        "name": "乙二",
        "contact": "甲一",
        "id number": id_number(date(1970, 5, 4), 2 * STORY + 2),
        "phone": phones[0].removeprefix("+86"),
        "employer's phone": phones[1].removeprefix("+86"),
    }
    worker = story.worker.account_id
    async with mongo(whole_market) as client:  # somebody took a copy, as a backup does
        copy, key = [await client["workers"][name].find_one({"_id": worker}) for name in ("workers", "_keys")]
        assert copy is not None
        opened = await sealer(whole_market, client["workers"]).open(copy["name"], of=worker, field="name")
        assert opened == secrets["name"]
    with pytest.raises(Refusal) as bound:
        await story.worker.post("identity/me/erasure", code="000000")  # refused for what binds it, before any code
    assert (bound.value.status, bound.value.code) == (409, "account-bound")
    await story.worker.post(f"matching/placements/{story.placement_id}/cancel")

    async def free() -> bool:
        return not (await story.worker.get("identity/me/ties"))["items"]

    await eventually(free, "the end of what binds the worker")
    ids = {"worker": story.worker.account_id, "employer": story.employer.account_id}
    async with mongo(whole_market) as client:  # a phone gets one code a minute, which is not what is shown here
        await client["identity"]["quotas"].delete_many({})
    await asyncio.gather(story.worker.erase(phones[0]), story.employer.erase(phones[1]))

    async def forgotten() -> bool:
        answers = [
            await story.http.get(f"{story.gateway}/api/{service}/erasures/{id}")
            for service in SERVICES
            for id in ids.values()
        ]
        return all(answer.status_code == 200 for answer in answers)

    await eventually(forgotten, "every service's word that both were erased")
    left = await everything(whole_market, story)
    # So that it is known that what is searched is really there.
    assert any(place == "local.oplog.rs" and ids["worker"].encode() in text for place, text in left)
    assert any(place == "matching.placement" and ids["worker"].encode() in text for place, text in left)
    assert any(place == "rights.agreements" for place, _ in left)
    assert found_in(left, secrets) == []
    async with mongo(whole_market) as client:  # the copy is of no use, but to who has a copy of the key too
        with pytest.raises(Shredded):
            await sealer(whole_market, client["workers"]).open(copy["name"], of=worker, field="name")
        await client["kept"]["_keys"].insert_one(key)
        assert await sealer(whole_market, client["kept"]).open(copy["name"], of=worker, field="name") == secrets["name"]
        await client.drop_database("kept")
    planted = {"planted": "丙三13800000000"}
    async with mongo(whole_market) as client:
        await client["workers"]["planted"].insert_one({"name": f"… {planted['planted']} …"})
        assert found_in(await documents(whole_market), planted) == ["planted in workers.planted"]
        await client["workers"]["planted"].drop()


@pytest.mark.parametrize("heard", ["first", "last"])
async def test_a_projection_built_anew_brings_nobody_back(whole_market: Stack, story: Story, heard: str) -> None:
    """On an empty database, from the beginning of all topics, whether the erasure is heard of before all else or after
    it. (Posting and workers own what they know: what others say adds to that, and makes nothing of it.)"""
    said: dict[str, list[Letter]] = {}
    async for record in records(whole_market.kafka, [topic.name for topic in read()], {}):
        said.setdefault(record.topic, []).append(letter_of(record))
    people = story.worker.account_id, story.employer.account_id
    held = await documents(whole_market)
    known = 0
    for name in ("identity", "matching", "rights", "notify"):
        service, environment = load(name), whole_market.environment(name)
        database, valkey = f"anew_{heard}_{name}", environment["KUAIZHAO_VALKEY_URL"]
        async with harness(service, whole_market.mongo_url, database=database, valkey_url=valkey) as anew:
            anew.clock.now = datetime.now(UTC)
            if name == "identity":  # which decided it, and hears of it from nobody: its keys are no projection
                async with mongo(whole_market) as client:
                    await anew.runtime.store.db["_keys"].insert_many(await client["identity"]["_keys"].find().to_list())
            mine = [topic for topic in service.reactions.topics if topic in said]
            for topic in sorted(mine, key=lambda topic: (topic == AccountErased.topic) == (heard == "last")):
                for partition in sorted({letter.partition for letter in said[topic]}):
                    letters = [letter for letter in said[topic] if letter.partition == partition]
                    fence = f"{name}:{topic}:{partition}"
                    await anew.runtime.delivery.deliver(fence, await anew.runtime.delivery.fence(fence), letters)
            await anew.later()
            assert await anew.dead() == [], name
            rebuilt = await documents(whole_market, prefix=f"anew_{heard}_")
            for person in people:
                there = {each for each in collections_of(database, person, rebuilt) if not each.startswith("_")}
                known += len(there)
                assert there <= collections_of(name, person, held), (name, there)
            await anew.runtime.client.drop_database(database)
    assert known > len(people)  # agreements and placements by the bare id


async def test_the_same_phone_is_somebody_new(story: Story) -> None:
    anew = Client(story.http, story.gateway, sms=f"{story.web}/sms")
    assert await anew.sign_in(People(1).worker(STORY).phone, "worker") != story.worker.account_id
    with pytest.raises(Refusal) as unknown:
        await anew.get("workers/me")
    assert unknown.value.status == 404


def test_bytes_of_a_document_are_searched_as_they_are_kept() -> None:
    row = bson.encode({"name": "乙二", "sealed": b"kz1:name:..."})
    assert found_in([("x", row)], {"name": "乙二"}) == ["name in x"]
    assert found_in([("x", bson.encode({"sealed": b"kz1:name:..."}))], {"name": "乙二"}) == []
