"""A whole day of the market, with every topic spoken on: nothing on any of them says who somebody is."""

# ruff: noqa: F811 - fixtures

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest

from deploy.topics import read
from services.notify.sender import Sender
from services.posting.store import Review
from services.rights import knowledge
from shared import clock
from shared.contracts import catalogue
from shared.testing import Harness
from tests.contract.rules import personal_values
from tests.service.identity.conftest import PHONE, Provider, nothing_counted, signed_in, sms  # noqa: F401 - fixtures
from tests.service.identity.test_erasure import Person
from tests.service.market import Market
from tests.service.matching.kit import run
from tests.service.notify.conftest import sender, sink  # noqa: F401 - fixtures
from tests.service.notify.story import reach, send
from tests.service.posting.market import CHANGSHA_COUNTY, OPENS, code, draft, post, verified
from tests.service.posting.test_feeds import enter, let, offered
from tests.service.posting.test_reviews import DOUBTFUL, decide
from tests.service.workers import conftest as people
from tests.service.workers.test_blocks import block

pytestmark = pytest.mark.feature("F7")

OTHERS = {"agencies.gig"}
"""What we do not say ourselves."""

NAMES = ("甲一百二十三", "乙四百五十六", "丙七百八十九", "丁零一二")
PHONES = ("+8619900001234", "+8619900004321", "+8619900005678", "+8619900008765")
CONTACT = "戊联系人"
STORY = "下班后被要求交服装押金，电话19900009999"
HERE = {"lat": 28.2453, "lon": 113.0803}


@dataclass
class Day(Market):
    """Keeps all that is said."""

    said: list[dict[str, Any]] = field(default_factory=list)

    async def _carry(self, speaker: str) -> int:
        self.said += await self.db(speaker)["_outbox"].find({}).to_list()
        return await super()._carry(speaker)


@pytest.fixture
def day(
    posting: Harness, workers: Harness, matching: Harness, rights: Harness, notify: Harness, identity: Harness
) -> Day:
    clock.set_source(lambda: matching.clock.now)
    return Day(posting, workers, matching, rights, notify, identity)


async def asked(harness: Harness, role: Any, who: str, path: str, body: Any = None, verb: str = "POST") -> Any:
    """One command that is carried out."""
    headers = harness.as_(role, who, districts=["43"])
    answer = await harness.http.request(verb, path, json=body, headers=headers)
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json() if answer.content else None


async def morning(day: Day, notify: Harness) -> None:
    """Employers, an agency, posts that are clear and one that is doubtful; people register, come, and are told."""
    await day.rights.runtime.store.transact(knowledge.publish)
    await verified(day.posting, "e1", credit_code=code(1), contact_name=CONTACT)
    await enter(day.posting)
    await let(day.posting)
    await day.posting.receives(offered(headcount=1))
    await asked(day.posting, "employer", "e1", "/gigs", draft(content=DOUBTFUL))
    (review,) = await day.posting.all(Review)
    await decide(day.posting, review.id, approved=True)
    for _ in range(3):
        await post(day.posting, skills=[], headcount=1)
    for n, name in enumerate(NAMES):
        who = f"worker-{n}"
        await people.register(
            day.workers, who, name=name, id_number=people.id_number(n + 1), accepts_automatically=True
        )
        await reach(notify, who, PHONES[n])
        await asked(notify, "worker", who, f"/groups/{people.STATION}/membership", verb="PUT")
    text = {"zh": "附近有人冒充用工方收取押金，请勿付款。", "en": "Somebody nearby asks for a deposit."}
    until = (OPENS + timedelta(hours=2)).isoformat()
    alert = {"kind": "fraud", "district": CHANGSHA_COUNTY, "radius_m": 2_000, **HERE, **text, "until": until}
    await asked(notify, "clerk", "clerk-1", "/alerts", alert)
    await asked(notify, "clerk", "clerk-1", f"/groups/{people.STATION}/notices", text | {"until": until})
    await block(day.workers, "worker", "worker-3", "e1")
    at_the_gate = {"districts": [CHANGSHA_COUNTY], "position": HERE, "station_id": None}
    for n in range(3):
        assert (await people.check_in(day.workers, f"worker-{n}", **at_the_gate)).status_code == 201
    await day.flow()
    assert (await run(day.matching, CHANGSHA_COUNTY)).placements == 3
    await day.flow()


async def placement_of(day: Day, who: str) -> str:
    (placement,) = (await asked(day.matching, "worker", who, "/placements", verb="GET"))["items"]
    id: str = placement["placement_id"]
    return id


async def test_a_whole_day_names_nobody(
    day: Day,
    notify: Harness,
    identity: Harness,
    sms: Provider,
    sender: Sender,
) -> None:
    person = Person(identity, sms, await signed_in(identity, sms))
    await morning(day, notify)
    first, second = await placement_of(day, "worker-0"), await placement_of(day, "worker-1")
    await send(sender)
    await asked(day.matching, "worker", "worker-1", f"/placements/{second}/cancel")
    await day.at(OPENS + timedelta(hours=2))
    await asked(day.rights, "worker", "worker-0", f"/shifts/{first}/start")
    await day.at(OPENS + timedelta(hours=2, minutes=11))  # worker-2 has not come
    await day.at(OPENS + timedelta(hours=9.5))
    await asked(day.rights, "worker", "worker-0", f"/shifts/{first}/end")
    await day.at(OPENS + timedelta(hours=10))
    for role, who, whom in (("worker", "worker-0", "of-employer"), ("employer", "e1", "of-worker")):
        await asked(day.rights, role, who, f"/ratings/{first}/{whom}", {"points": 4, "text": "丙七百八十九很好"})
    case = {"kind": "fee-charged", "what_happened": STORY, "placement_id": first}
    await asked(day.rights, "worker", "worker-0", "/cases", case)
    for hours in (11, 12, 18, 24, 30, 42, 48, 54, 67):
        await day.at(OPENS + timedelta(hours=hours))
        await send(sender)
    erased = await person.erases()
    assert erased.status_code == 200, erased.text
    await day.flow()

    ours = {topic.name for topic in read() if not topic.name.endswith(".dead")} - OTHERS
    spoken = Counter(row["topic"] for row in day.said)
    assert ours - spoken.keys() == set(), "topics on which nobody has said anything"
    assert found(day.said, await secrets(day)) == []
    assert all([await each.dead() == [] for each in day.all.values()])


async def secrets(day: Day) -> dict[str, str]:
    """What was said of people that day, in the words in which they said it."""
    told = {f"name {n}": name for n, name in enumerate(NAMES)}
    told |= {f"id number {n}": people.id_number(n + 1) for n in range(len(NAMES))}
    told |= {f"phone {phone}": phone.removeprefix("+86") for phone in (*PHONES, PHONE)}
    return told | {"contact": CONTACT, "what happened": STORY}


def found(said: list[dict[str, Any]], secrets: dict[str, str]) -> list[str]:
    """Where something of a person stands in what was said: a sentence each."""
    faults = []
    for row in said:
        whole = b"\n".join((row["key"], row["body"], orjson.dumps(row["headers"]))).decode()
        faults += [f"{row['topic']}: {what}" for what, secret in secrets.items() if secret in whole]
        if row["headers"].get("ce_type") in catalogue():
            faults += [f"{row['topic']}: {fault}" for fault in personal_values(orjson.loads(row["body"]))]
    return faults


@pytest.mark.parametrize(
    "body", [{"worker_id": "乙四百五十六"}, {"remark": "19900004321"}, {"lat": 28.2}, {"note": "请联系 a@example.org"}]
)
def test_what_names_somebody_is_found(body: dict[str, Any]) -> None:
    row = {"topic": "x", "key": b"k", "headers": {"ce_type": "posting.gig-filled.v1"}, "body": orjson.dumps(body)}
    assert found([row], {"name": NAMES[1], "phone": PHONES[1].removeprefix("+86")})
    assert found([row | {"body": b'{"worker_id": "worker-1"}'}], {"name": NAMES[1]}) == []
