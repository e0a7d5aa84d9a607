"""An agreement and cover for every placement, once, whatever comes twice or in the wrong order."""

import hashlib
from datetime import timedelta

import orjson
import pytest

from services.rights.store import Agreement, Cover, Shift
from shared.contracts.posting import GigAmended
from shared.contracts.rights import AgreementMade, PayDue, ShiftEnded
from shared.testing import Harness
from tests.service.rights.placements import (
    DISTRICT,
    EMPLOYER,
    MORNING,
    WORKER,
    placement_cancelled,
    placement_made,
)

pytestmark = [pytest.mark.feature("F20"), pytest.mark.feature("F21")]


async def test_a_placement_has_an_agreement_and_cover_before_its_shift(rights: Harness) -> None:
    made = placement_made()
    await rights.receives(made)
    answer = await rights.http.get("/agreements/placement-1", headers=rights.as_("worker", WORKER))
    assert answer.status_code == 200
    agreement = answer.json()
    assert agreement["status"] == "in-force"
    assert agreement["insurance"] == {
        "provider": "regional-scheme",
        "policy_id": "regional-scheme:placement-1",
        "status": "active",
        "covers": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T08:00:00Z"},
        "withdrawn_at": None,
        "refused_for": None,
        "trouble": None,
    }
    assert agreement["terms"] == made.terms.model_dump(mode="json")
    assert await rights.published() == [
        AgreementMade(
            placement_id="placement-1",
            worker_id=WORKER,
            employer_id=EMPLOYER,
            gig_id="gig-1",
            district=DISTRICT,
            sha256=agreement["sha256"],
            policy_id="regional-scheme:placement-1",
            starts_at=made.terms.period.start,
        )
    ]


async def test_anyone_who_has_the_document_can_check_its_hash(rights: Harness) -> None:
    await rights.receives(placement_made())
    read = (await rights.http.get("/agreements/placement-1", headers=rights.as_("employer", EMPLOYER))).json()
    assert hashlib.sha256(read["document"].encode()).hexdigest() == read["sha256"]
    document = orjson.loads(read["document"])
    assert (document["worker_id"], document["employer_id"], document["placement_id"]) == (
        WORKER,
        EMPLOYER,
        "placement-1",
    )
    assert document["agreed_at"] == "2026-11-22T22:00:00Z"


async def test_the_same_placement_twice_is_one_agreement(rights: Harness) -> None:
    await rights.receives(placement_made(), placement_made())
    await rights.receives(placement_made(), id="m1")
    await rights.receives(placement_made(), id="m1")
    assert len(await rights.all(Agreement)) == len(await rights.all(Cover)) == len(await rights.all(Shift)) == 1
    assert len(await rights.published(AgreementMade)) == 1


async def test_later_terms_do_not_alter_an_agreement(rights: Harness) -> None:
    await rights.receives(placement_made())
    before = await rights.get(Agreement, "placement-1")
    later = placement_made(amount_fen=1)
    await rights.receives(GigAmended(gig_id="gig-1", district=DISTRICT, terms=later.terms), later)
    assert await rights.get(Agreement, "placement-1") == before


async def test_a_cancelled_placement_loses_its_cover_and_its_agreement(rights: Harness) -> None:
    await rights.receives(placement_made())
    await rights.receives(placement_cancelled(by="worker"), placement_cancelled(by="worker"))
    read = (await rights.http.get("/agreements/placement-1", headers=rights.as_("worker", WORKER))).json()
    assert (read["status"], read["void_by"]) == ("void", "worker")
    assert read["insurance"]["status"] == "withdrawn"
    assert hashlib.sha256(read["document"].encode()).hexdigest() == read["sha256"]


async def test_a_cancellation_that_comes_first_leaves_no_cover(rights: Harness) -> None:
    await rights.receives(placement_cancelled(), placement_cancelled())
    await rights.receives(placement_made(), placement_made())
    read = (await rights.http.get("/agreements/placement-1", headers=rights.as_("worker", WORKER))).json()
    assert (read["status"], read["insurance"]["status"]) == ("void", "withdrawn")
    assert await rights.published() == []
    rights.clock.advance(hours=2)
    answer = await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    assert (answer.status_code, answer.json()["code"]) == (409, "placement-cancelled")


async def test_what_was_worked_before_a_cancellation_is_owed(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    rights.clock.advance(hours=1)
    await rights.receives(placement_cancelled(at=MORNING + timedelta(hours=3)))
    [ended] = await rights.published(ShiftEnded)
    [due] = await rights.published(PayDue)
    assert (ended.minutes, due.amount_fen) == (60, 2000)
    cover = await rights.get(Cover, "placement-1")
    assert cover
    assert cover.status == "withdrawn"
    await rights.later(hours=6)
    assert len(await rights.published(ShiftEnded)) == 1


async def test_a_cancellation_after_the_work_changes_nothing(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    await rights.later(hours=8)
    said = await rights.published()
    await rights.receives(placement_cancelled(at=MORNING + timedelta(hours=11)))
    agreement = await rights.get(Agreement, "placement-1")
    assert agreement
    assert agreement.void_at is None
    assert await rights.published() == said


async def test_only_the_parties_and_clerks_of_the_district_read_it(rights: Harness) -> None:
    await rights.receives(placement_made())
    allowed = [
        rights.as_("worker", WORKER),
        rights.as_("employer", EMPLOYER),
        rights.as_("clerk", districts=["4301"]),
        rights.as_("clerk", districts=["500120", "430102"]),
        rights.as_("operator"),
    ]
    refused = [
        rights.as_("worker", "worker-2"),
        rights.as_("worker", EMPLOYER),
        rights.as_("employer", "employer-2"),
        rights.as_("employer", WORKER),
        rights.as_("clerk", districts=["430103"]),
        rights.as_("clerk", districts=["0102"]),
        rights.as_("clerk"),
        rights.as_("agency", WORKER),
    ]
    for path, whole in (("/agreements/placement-1", False), ("/shifts/placement-1", False), ("/agreements", True)):
        for headers in allowed:
            answer = await rights.http.get(path, headers=headers)
            assert answer.status_code == 200
            assert not whole or len(answer.json()["items"]) == 1
        for headers in refused:
            answer = await rights.http.get(path, headers=headers)
            assert answer.json() == {"items": [], "next": None} if whole else answer.status_code == 404
        assert (await rights.http.get(path)).status_code == 401


async def test_clerks_only_read(rights: Harness) -> None:
    await rights.receives(placement_made())
    clerk = rights.as_("clerk", districts=["430102"])
    for path in (
        "/shifts/placement-1/start",
        "/shifts/placement-1/end",
        "/pay/placement-1/paid",
        "/pay/placement-1/confirm",
    ):
        assert (await rights.http.post(path, headers=clerk)).status_code == 403


async def test_agreements_are_listed_newest_first_page_by_page(rights: Harness) -> None:
    await rights.receives(
        *(placement_made(f"placement-{n}") for n in range(5)), placement_made("other", worker_id="worker-2")
    )
    seen, after = [], None
    for _ in range(3):
        query = {"limit": "2", **({"after": after} if after else {})}
        page = (await rights.http.get("/agreements", params=query, headers=rights.as_("worker", WORKER))).json()
        seen += [item["placement_id"] for item in page["items"]]
        after = page["next"]
    assert seen == [f"placement-{n}" for n in (4, 3, 2, 1, 0)]
    assert after is None
