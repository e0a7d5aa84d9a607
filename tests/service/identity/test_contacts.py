"""Who may read whose phone, until when, and what is noted of it."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.identity.store import Reading, Tie
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.rights import CaseOpened, PayConfirmed
from shared.testing import Harness
from tests.contract.test_events import example_of
from tests.service.identity.conftest import Provider, signed_in

pytestmark = pytest.mark.feature("F37")

WORKER, EMPLOYER = "+8619900001234", "+8619900005678"


class Pair:
    """A worker and an employer who signed in, and what happens between them."""

    def __init__(self, identity: Harness, worker_id: str, employer_id: str) -> None:
        self.identity, self.worker_id, self.employer_id = identity, worker_id, employer_id
        self.between = {"worker_id": worker_id, "employer_id": employer_id}

    def placed(self, placement_id: str = "p1", **changes: Any) -> PlacementMade:
        made = PlacementMade.model_validate(example_of(PlacementMade) | self.between | {"placement_id": placement_id})
        return made.model_copy(update=changes)

    def cancelled(self, placement_id: str = "p1") -> PlacementCancelled:
        example = example_of(PlacementCancelled) | self.between | {"placement_id": placement_id}
        return PlacementCancelled.model_validate(example)

    async def reads(self, **reader: Any) -> httpx.Response:
        """The employer, or somebody else, reads the worker's phone."""
        headers = reader.pop("headers", None) or self.identity.as_("employer", self.employer_id)
        path = f"/contacts/{reader.pop('of', self.worker_id)}/readings"
        return await self.identity.http.post(path, json=reader, headers=headers)


@pytest.fixture
async def pair(identity: Harness, sms: Provider) -> Pair:
    worker = await signed_in(identity, sms, WORKER)
    employer = await signed_in(identity, sms, EMPLOYER, "employer")
    return Pair(identity, worker["account_id"], employer["account_id"])


async def test_each_side_of_a_placement_reads_the_others_phone_and_nobody_else_does(
    identity: Harness, pair: Pair
) -> None:
    assert (await pair.reads()).status_code == 404
    await identity.receives(pair.placed())
    read = await pair.reads()
    assert (read.status_code, read.json()["phone"]) == (201, WORKER)
    assert read.headers["cache-control"] == "no-store"
    theirs = await pair.reads(of=pair.employer_id, headers=identity.as_("worker", pair.worker_id))
    assert theirs.json()["phone"] == EMPLOYER
    for role, id in (("employer", "e-other"), ("worker", "w-other"), ("worker", pair.worker_id)):
        answer = await pair.reads(headers=identity.as_(role, id))  # type: ignore[arg-type]
        assert answer.status_code == 404
    assert (await pair.reads(headers=identity.as_("agency"))).status_code == 403
    assert (await pair.reads(reason="因为我想知道")).json()["errors"][0]["field"] == "reason"


async def test_a_phone_is_masked_before_it_may_be_read_and_after(identity: Harness, pair: Pair) -> None:
    """Half-open: it may not be read any more at the moment at which the window ends."""
    path, employer = f"/contacts/{pair.worker_id}", identity.as_("employer", pair.employer_id)
    assert (await identity.http.get(path, headers=employer)).status_code == 404
    placed = pair.placed()
    await identity.receives(placed)
    ends = placed.terms.period.end + timedelta(days=7)
    seen = (await identity.http.get(path, headers=employer)).json()
    assert seen["phone"] == "+86199****1234"
    assert datetime.fromisoformat(seen["readable_until"]) == ends
    identity.clock.now = ends - timedelta(seconds=1)
    assert (await pair.reads()).status_code == 201
    identity.clock.now = ends
    refused = await pair.reads()
    assert (refused.status_code, refused.json()["code"]) == (409, "contact-closed")
    seen = (await identity.http.get(path, headers=employer)).json()
    assert (seen["phone"], seen["readable_until"]) == ("+86199****1234", None)


async def test_a_cancelled_placement_shows_no_phone_in_whatever_order_it_is_heard(
    identity: Harness, pair: Pair
) -> None:
    await identity.receives(pair.placed("p1"), pair.cancelled("p1"))
    await identity.receives(pair.cancelled("p2"))
    await identity.receives(pair.placed("p2"))
    assert (await pair.reads()).json()["code"] == "contact-closed"
    await identity.receives(pair.placed("p3"))
    assert (await pair.reads()).status_code == 201
    await identity.receives(pair.placed("p1"), pair.cancelled("p1"))
    assert (await pair.reads()).status_code == 201


async def test_pay_that_was_confirmed_before_the_placement_was_heard_of_ends_its_tie(
    identity: Harness, pair: Pair
) -> None:
    confirmed = PayConfirmed.model_validate(example_of(PayConfirmed) | pair.between | {"placement_id": "p1"})
    await identity.receives(confirmed)
    await identity.receives(pair.placed())
    ties = {tie.kind: tie for tie in await identity.all(Tie)}
    assert ties["placement"].over
    assert ties["pay"].over
    assert (await pair.reads()).status_code == 201


async def test_a_clerk_of_the_district_says_why(identity: Harness, pair: Pair) -> None:
    opened = CaseOpened.model_validate(example_of(CaseOpened) | pair.between | {"case_id": "c1"})
    clerk = identity.as_("clerk", "clerk-1", districts=[opened.district[:4]])
    refused = await pair.reads(headers=clerk, reason="请其补充证据")
    assert refused.status_code == 403
    await identity.receives(opened)
    assert (await pair.reads(headers=clerk)).json()["errors"][0]["field"] == "reason"
    elsewhere = identity.as_("clerk", "clerk-2", districts=["1101"])
    assert (await pair.reads(headers=elsewhere, reason="请其补充证据")).status_code == 403
    other = await pair.reads(headers=clerk, reason="请其补充证据", case_id="c2")
    assert other.json()["errors"][0]["field"] == "case_id"
    read = await pair.reads(headers=clerk, reason="请其补充证据", case_id="c1")
    assert (read.status_code, read.json()["phone"]) == (201, WORKER)
    operator = await pair.reads(headers=identity.as_("operator"), reason="核对登记电话")
    assert operator.status_code == 201


async def test_each_reading_is_in_the_log_of_the_person_and_no_refusal_is(identity: Harness, pair: Pair) -> None:
    await pair.reads()
    await identity.receives(pair.placed())
    await pair.reads()
    await pair.reads(headers=identity.as_("operator", "op"), reason="核对登记电话")
    me = identity.as_("worker", pair.worker_id)
    log = (await identity.http.get("/me/readings", headers=me)).json()
    clerks, employers = log["items"]
    assert (clerks["by_id"], clerks["by_role"], clerks["why"]) == ("op", "operator", "clerk")
    assert clerks["reason"] == "核对登记电话"
    assert (employers["by_id"], employers["why"], employers["ref"]) == (pair.employer_id, "placement", "p1")
    assert employers["reason"] is None
    assert all(entry["field"] == "phone" and entry["person_id"] == pair.worker_id for entry in log["items"])
    first = (await identity.http.get("/me/readings?limit=1", headers=me)).json()
    second = (await identity.http.get(f"/me/readings?limit=1&after={first['next']}", headers=me)).json()
    assert [*first["items"], *second["items"]] == log["items"]
    assert second["next"] is None
    audit = await identity.http.get("/readings?by_id=op", headers=identity.as_("operator"))
    assert [entry["reading_id"] for entry in audit.json()["items"]] == [clerks["reading_id"]]
    assert (await identity.http.get("/readings", headers=me)).status_code == 403
    assert (await identity.http.get("/me/readings", headers=identity.as_("worker", "w9"))).json()["items"] == []


async def test_the_log_holds_no_value_and_no_words_that_can_be_read_in_the_database(
    identity: Harness, pair: Pair
) -> None:
    await pair.reads(headers=identity.as_("operator", "op"), reason="核对登记电话")
    rows = await identity.runtime.store.db["readings"].find().to_list()
    assert len(rows) == 1
    assert "核对" not in repr(rows)
    assert WORKER[3:] not in repr(rows)
    assert "核对".encode() not in rows[0]["reason"]


async def test_a_districts_rules_say_how_long(identity: Harness, pair: Pair) -> None:
    placed = pair.placed()
    await identity.receives(placed)
    set_ = await identity.http.put(
        f"/rules/{placed.district}",
        json={"changes": {"contact_days": 1, "readings_days": 200}, "reason": "试行", "replaces": 0},
        headers=identity.as_("operator"),
    )
    assert set_.status_code == 200, set_.text
    identity.clock.now = placed.terms.period.end + timedelta(hours=23)
    assert (await pair.reads()).status_code == 201
    (entry,) = await identity.all(Reading)
    assert entry.forget_at - entry.at == timedelta(days=200)
    identity.clock.advance(hours=2)
    assert (await pair.reads()).status_code == 409
