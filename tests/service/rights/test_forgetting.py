"""A worker's account is erased: records stay for their time under the id alone, and nobody's words with them."""

import pytest

from services.rights.store import Ability, Agreement, Case, Cover, Payment, Ratings, Shift, Timesheet
from shared.contracts.identity import AccountErased
from shared.contracts.workers import WorkerProfile, WorkerRegistered
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, WORKER, placement_made

pytestmark = pytest.mark.feature("F37")

WORDS = "我家住在某路某号，请勿外传"
RECORDS = (Agreement, Cover, Shift, Timesheet, Payment, Case)


async def worked(rights: Harness) -> None:
    """A shift that an employer vouched for and disputes, and a case: each with somebody's words."""
    await rights.receives(placement_made())
    rights.clock.advance(hours=2)
    worker, employer = rights.as_("worker", WORKER), rights.as_("employer", EMPLOYER)
    override = {"reason": "no-device", "note": WORDS}
    started = await rights.http.post("/shifts/placement-1/override", json=override, headers=employer)
    assert started.status_code == 200, started.text
    await rights.later(hours=8)
    claimed = {"minutes": 60, "reason": "left-early", "note": WORDS}
    disputed = await rights.http.post("/timesheets/placement-1/dispute", json=claimed, headers=employer)
    assert disputed.status_code == 200, disputed.text
    case = {"kind": "other", "what_happened": WORDS, "district": DISTRICT}
    opened = await rights.http.post("/cases", json=case, headers=worker)
    assert opened.status_code == 201, opened.text


async def erase(rights: Harness, account_id: str = WORKER, role: str = "worker") -> None:
    said = AccountErased.model_validate({"account_id": account_id, "role": role, "at": rights.clock.now})
    await rights.receives(said)


async def test_records_stay_without_words_until_their_time_is_over(rights: Harness) -> None:
    await worked(rights)
    kept = {kind: len(await rights.all(kind)) for kind in RECORDS}
    assert all(kept.values())
    await erase(rights)
    assert {kind: len(await rights.all(kind)) for kind in RECORDS} == kept
    (case,) = await rights.all(Case)
    clerk = rights.as_("clerk", "c", districts=[DISTRICT])
    read = await rights.http.get(f"/cases/{case.id}", headers=clerk)
    assert (read.status_code, read.json()["what_happened"]) == (200, None)
    sheet = await rights.http.get("/timesheets/placement-1", headers=clerk)
    assert (sheet.json()["claimed_minutes"], sheet.json()["note"]) == (60, None)
    shift = (await rights.http.get("/shifts/placement-1", headers=clerk)).json()
    assert (shift["proof"]["method"], shift["proof"]["note"]) == ("override", None)
    pack = await rights.http.get("/placements/placement-1/evidence", headers=clerk)
    assert pack.status_code == 200
    assert WORDS not in pack.text
    await rights.later(days=730)
    assert len(await rights.all(Agreement)) == 1
    await rights.later(days=1)
    assert [await rights.all(kind) for kind in (*RECORDS, Ratings)] == [[]] * 7
    assert await rights.dead() == []


async def test_an_employer_that_leaves_takes_no_workers_records_with_it(rights: Harness) -> None:
    await worked(rights)
    await erase(rights, EMPLOYER, "employer")
    await rights.later(days=1_000)
    assert len(await rights.all(Agreement)) == 1
    mine = await rights.http.get("/agreements", headers=rights.as_("worker", WORKER))
    assert len(mine.json()["items"]) == 1
    sheet = await rights.http.get("/timesheets/placement-1", headers=rights.as_("worker", WORKER))
    assert sheet.json()["note"] == WORDS


async def test_an_export_has_the_records_and_not_what_the_other_side_says_in_confidence(rights: Harness) -> None:
    await worked(rights)
    rating = {"points": 1, "codes": [], "text": WORDS}
    employer = rights.as_("employer", EMPLOYER)
    given = await rights.http.post("/ratings/placement-1/of-worker", json=rating, headers=employer)
    assert given.status_code == 201, given.text
    mine = (await rights.http.get("/me/export", headers=rights.as_("worker", WORKER))).json()["collections"]
    assert all(mine[kind.collection] for kind in RECORDS)
    assert mine["cases"][0]["text"] == mine["timesheets"][0]["note"] == mine["shifts"][0]["proof"]["note"] == WORDS
    assert "by_employer" not in mine["ratings"][0]
    theirs = (await rights.http.get("/me/export", headers=employer)).json()["collections"]
    assert theirs["ratings"][0]["by_employer"]["points"] == 1
    assert theirs["cases"] == []
    await rights.later(days=31)
    mine = (await rights.http.get("/me/export", headers=rights.as_("worker", WORKER))).json()["collections"]
    assert mine["ratings"][0]["by_employer"]["points"] == 1


async def test_what_is_heard_of_somebody_after_the_erasure_brings_no_skills_back(rights: Harness) -> None:
    await erase(rights)
    profile = WorkerProfile(reach_m=5_000, floor_fen_per_hour=0, skills=("parcel-sorting",), revision=3)
    for worker in (WORKER, "somebody-else"):
        await rights.receives(WorkerRegistered(worker_id=worker, district=DISTRICT, profile=profile))
    assert [known.id for known in await rights.all(Ability)] == ["somebody-else"]
