"""Who waits where: at most one check-in a person, ended once, in every district of it."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import h3
import pytest

from services.workers.store import Presence
from services.workers.tables import STATIONS
from shared.auth import Role
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, Place
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut
from shared.testing import Harness
from tests.service.workers.conftest import DISTRICT, POSITION, STATION, check_in, fields, id_number, register


@pytest.fixture(autouse=True)
async def registered(workers: Harness) -> None:
    await register(workers)


def placement(at: datetime, worker_id: str = "worker-1") -> PlacementMade:
    start = at + timedelta(hours=2)
    terms = GigTerms(
        employer_id="employer-1",
        employer_name="甲一餐饮（虚构）",
        title="分拣员",
        occupation="4-02-07-02",
        content="分拣包裹",
        place=Place(lat=28.2, lon=113.0, address="马王堆街道"),
        period=Period(start=start, end=start + timedelta(hours=4)),
        headcount=1,
        pay=Pay(amount_fen=2000, unit=PayUnit.hour, mode=PayMode.same_day),
        valid_until=start,
    )
    return PlacementMade(
        placement_id="placement-1",
        offer_id="offer-1",
        gig_id="gig-1",
        seat=1,
        worker_id=worker_id,
        employer_id="employer-1",
        district=DISTRICT,
        terms=terms,
        at=at,
    )


async def end(workers: Harness, checkin_id: str, worker_id: str = "worker-1", **headers: str) -> Any:
    return await workers.http.post(f"/check-ins/{checkin_id}/end", headers=workers.as_("worker", worker_id, **headers))


async def gone(workers: Harness) -> list[tuple[str, str, str]]:
    """Who was said to wait no longer: check-in, district and reason."""
    return [(out.checkin_id, out.district, out.reason) for out in await workers.published(WorkerCheckedOut)]


# --- in --------------------------------------------------------------------------------------------------------------


async def test_a_check_in_at_a_station_is_said_with_the_whole_profile(workers: Harness) -> None:
    answer = await check_in(workers)
    assert answer.status_code == 201
    here = answer.json()
    (said,) = await workers.published(WorkerCheckedIn)
    assert said.presence_id == f"{here['checkin_id']}:{DISTRICT}"
    assert (said.checkin_id, said.worker_id, said.station_id) == (here["checkin_id"], "worker-1", STATION)
    assert said.key == DISTRICT
    assert said.cell == STATIONS[STATION].cell
    assert (said.profile.skills, said.profile.tier) == (("parcel-sorting",), 1)
    assert (said.at, said.until) == (workers.clock.now, datetime.fromisoformat(here["until"]))


async def test_a_position_leaves_as_its_cell_only(workers: Harness) -> None:
    await check_in(workers, position=POSITION, station_id=None)
    (said,) = await workers.published(WorkerCheckedIn)
    assert said.cell == h3.latlng_to_cell(POSITION["lat"], POSITION["lon"], 9)
    assert said.station_id is None
    assert str(POSITION["lat"]) not in said.model_dump_json()


async def test_one_check_in_reaches_several_districts(workers: Harness) -> None:
    districts = ["430102", "430103", "430104", "430105", "430111"]
    here = (await check_in(workers, districts=districts)).json()
    said = await workers.published(WorkerCheckedIn)
    assert [event.district for event in said] == districts
    assert {event.checkin_id for event in said} == {here["checkin_id"]}
    assert len({event.presence_id for event in said}) == 5


async def test_the_worker_sees_where_they_wait(workers: Harness) -> None:
    headers = workers.as_("worker", "worker-1")
    assert (await workers.http.get("/me/check-in", headers=headers)).status_code == 404
    here = (await check_in(workers)).json()
    assert (await workers.http.get("/me/check-in", headers=headers)).json() == here
    assert (await workers.http.get("/me/check-in", headers=workers.as_("worker", "worker-2"))).status_code == 404


async def test_a_new_check_in_replaces_the_one_before(workers: Harness) -> None:
    first = (await check_in(workers, districts=["430102", "430103"])).json()["checkin_id"]
    second = (await check_in(workers, districts=["430103", "430104"])).json()["checkin_id"]
    assert await gone(workers) == [(first, "430102", "replaced"), (first, "430103", "replaced")]
    (presence,) = await workers.all(Presence)
    assert presence.checkin_id == second
    assert (await end(workers, first)).status_code == 404


async def test_many_check_ins_at_once_leave_one(workers: Harness) -> None:
    answers = await asyncio.gather(*(check_in(workers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    entered = {event.checkin_id for event in await workers.published(WorkerCheckedIn)}
    left = [checkin_id for checkin_id, _, reason in await gone(workers) if reason == "replaced"]
    (presence,) = await workers.all(Presence)
    assert len(entered) == 20
    assert sorted(left) == sorted(entered - {presence.checkin_id})


async def test_a_repeated_key_gets_the_first_check_in_again(workers: Harness) -> None:
    headers = workers.as_("worker", "worker-1", idempotency_key="in-1")
    body = {"districts": [DISTRICT], "station_id": STATION}
    first = await workers.http.post("/check-ins", json=body, headers=headers)
    second = await workers.http.post("/check-ins", json=body, headers=headers)
    assert first.json() == second.json()
    assert len(await workers.published(WorkerCheckedIn)) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"districts": []}, "districts"),
        ({"districts": ["430102", "430102"]}, "districts"),
        ({"districts": [f"43010{n}" for n in range(6)]}, "districts"),
        ({"districts": ["changsha"]}, "districts.0"),
        ({"station_id": None}, "position"),
        ({"position": POSITION}, "position"),
        ({"station_id": "nowhere"}, "station_id"),
        ({"station_id": None, "position": {"lat": 91, "lon": 0}}, "position.lat"),
        ({"station_id": None, "position": {"lat": 28.2}}, "position.lon"),
        ({"until": "2026-11-23T06:00:00+08:00"}, "until"),
        ({"until": "2026-11-23T22:00:00.001+08:00"}, "until"),
        ({"until": "2026-11-23T12:00:00"}, "until"),
        ({"phone": "+8619900001234"}, "phone"),
    ],
)
async def test_what_is_wrong_is_named_in_both_languages(workers: Harness, changes: dict[str, Any], field: str) -> None:
    answer = await check_in(workers, **changes)
    assert fields(answer) == [field]
    body = {"districts": [DISTRICT], "station_id": STATION} | changes
    headers = workers.as_("worker", "worker-1", accept_language="zh")
    chinese = await workers.http.post("/check-ins", json=body, headers=headers)
    assert chinese.json()["errors"][0]["detail"] != answer.json()["errors"][0]["detail"]
    assert await workers.published(WorkerCheckedIn) == []


async def test_a_time_before_the_calendar_is_a_fault_not_a_crash(workers: Harness) -> None:
    assert fields(await check_in(workers, until="0001-01-01T00:00:00+08:00")) == ["until"]


async def test_only_registered_workers_check_in(workers: Harness) -> None:
    answer = await check_in(workers, "worker-2")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-registered")


@pytest.mark.parametrize("role", ["employer", "agency"])
async def test_other_roles_check_nobody_in(workers: Harness, role: Role) -> None:
    body = {"districts": [DISTRICT], "station_id": STATION, "worker_id": "worker-1"}
    assert (await workers.http.post("/check-ins", json=body, headers=workers.as_(role))).status_code == 403
    assert (await workers.http.post("/check-ins", json=body)).status_code == 401


async def test_a_worker_checks_nobody_else_in(workers: Harness) -> None:
    await register(workers, "worker-2", id_number=id_number(3))
    assert (await check_in(workers, "worker-2", worker_id="worker-1")).status_code == 403
    assert await workers.all(Presence) == []


async def test_a_clerk_checks_people_in_where_the_clerk_works(workers: Harness) -> None:
    body = {"districts": [DISTRICT, "430103"], "station_id": STATION}
    clerk = workers.as_("clerk", "clerk-1", districts=[DISTRICT])
    assert fields(await workers.http.post("/check-ins", json=body | {"districts": [DISTRICT]}, headers=clerk)) == [
        "worker_id"
    ]
    body["worker_id"] = "worker-1"
    refused = await workers.http.post("/check-ins", json=body, headers=clerk)
    assert (refused.status_code, refused.json()["code"]) == (403, "other-district")
    assert "430103" in refused.json()["detail"]
    wider = workers.as_("clerk", "clerk-2", districts=["4301"])
    assert (await workers.http.post("/check-ins", json=body, headers=wider)).status_code == 201
    (presence,) = await workers.all(Presence)
    assert (presence.id, presence.clerk_id) == ("worker-1", "clerk-2")
    unknown = await workers.http.post("/check-ins", json=body | {"worker_id": "nobody"}, headers=wider)
    assert unknown.json()["code"] == "not-registered"


# --- out -------------------------------------------------------------------------------------------------------------


async def test_a_worker_leaves_every_district(workers: Harness) -> None:
    here = (await check_in(workers, districts=["430102", "430103"])).json()["checkin_id"]
    assert (await end(workers, here)).status_code == 200
    assert await gone(workers) == [(here, "430102", "worker"), (here, "430103", "worker")]
    assert await workers.all(Presence) == []
    assert (await end(workers, here)).status_code == 404
    await workers.later(days=1)
    assert len(await gone(workers)) == 2


async def test_a_repeated_key_leaves_once(workers: Harness) -> None:
    here = (await check_in(workers)).json()["checkin_id"]
    answers = [await end(workers, here, idempotency_key="out-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(await gone(workers)) == 1


async def test_nobody_ends_anothers_check_in(workers: Harness) -> None:
    await register(workers, "worker-2", id_number=id_number(3))
    here = (await check_in(workers)).json()["checkin_id"]
    assert (await end(workers, here, "worker-2")).status_code == 404
    await check_in(workers, "worker-2")
    assert (await end(workers, here, "worker-2")).status_code == 404
    headers = workers.as_("clerk", "clerk-1", districts=[DISTRICT])
    assert (await workers.http.post(f"/check-ins/{here}/end", headers=headers)).status_code == 403
    assert len(await workers.all(Presence)) == 2


async def test_a_check_in_ends_with_its_time(workers: Harness) -> None:
    here = (await check_in(workers, districts=["430102", "430103"])).json()
    assert here["until"] == "2026-11-23T14:00:00Z"  # 06:00 in Changsha and 16 hours
    await workers.later(hours=15, minutes=59)
    assert await gone(workers) == []
    await workers.later(minutes=1)
    assert await gone(workers) == [
        (here["checkin_id"], "430102", "expired"),
        (here["checkin_id"], "430103", "expired"),
    ]
    assert await workers.all(Presence) == []


async def test_a_check_in_ends_when_the_worker_said(workers: Harness) -> None:
    await check_in(workers, until="2026-11-23T08:00:00+08:00")
    await workers.later(hours=2)
    assert [reason for _, _, reason in await gone(workers)] == ["expired"]


async def test_the_end_of_a_check_in_before_does_not_end_the_new_one(workers: Harness) -> None:
    await check_in(workers, until="2026-11-23T08:00:00+08:00")
    await check_in(workers, until="2026-11-23T10:00:00+08:00")
    await workers.later(hours=3)
    assert [reason for _, _, reason in await gone(workers)] == ["replaced"]
    assert len(await workers.all(Presence)) == 1


# --- placements ------------------------------------------------------------------------------------------------------


async def test_whoever_is_placed_waits_nowhere(workers: Harness) -> None:
    here = (await check_in(workers, districts=["430102", "330110"])).json()["checkin_id"]
    workers.clock.advance(minutes=1)
    await workers.receives(placement(workers.clock.now))
    assert await gone(workers) == [(here, "430102", "placed"), (here, "330110", "placed")]
    assert await workers.all(Presence) == []
    await workers.later(days=1)
    assert len(await gone(workers)) == 2


async def test_a_placement_that_comes_twice_ends_the_check_in_once(workers: Harness) -> None:
    await check_in(workers)
    event = placement(workers.clock.now)
    await workers.receives(event, id="event-1")
    await workers.receives(event, id="event-1")
    assert len(await gone(workers)) == 1
    assert await workers.dead() == []


async def test_a_placement_ends_nobody_elses_check_in(workers: Harness) -> None:
    await check_in(workers)
    await workers.receives(placement(workers.clock.now, "worker-2"))
    assert await gone(workers) == []


async def test_a_late_word_of_a_placement_leaves_a_newer_check_in_alone(workers: Harness) -> None:
    """The worker was placed, and has checked in since for the hours after."""
    at = workers.clock.now
    workers.clock.advance(minutes=5)
    await check_in(workers)
    await workers.receives(placement(at))
    assert await gone(workers) == []


async def test_after_a_cancelled_placement_one_may_check_in_again(workers: Harness) -> None:
    await check_in(workers)
    made = placement(workers.clock.now)
    shared = {"placement_id", "gig_id", "seat", "worker_id", "employer_id", "district", "at"}
    cancelled = PlacementCancelled(by="employer", **made.model_dump(include=shared))
    await workers.receives(made)
    await workers.receives(cancelled)
    assert await workers.all(Presence) == []
    assert (await check_in(workers)).status_code == 201
    assert len(await workers.all(Presence)) == 1
    assert await workers.dead() == []


# --- stations --------------------------------------------------------------------------------------------------------


async def test_anyone_sees_the_stations(workers: Harness) -> None:
    listed = (await workers.http.get("/stations")).json()
    assert listed["next"] is None
    assert len(listed["items"]) == len(STATIONS)
    assert listed["items"][0] == {
        "id": "430102-mawangdui",
        "district": "430102",
        "zh": "马王堆街道零工市场",
        "en": "Mawangdui market",
        "lat": 28.205,
        "lon": 113.04,
        "distance_m": None,
    }
    here = (await workers.http.get("/stations", params={"district": "330110"})).json()["items"]
    assert [station["district"] for station in here] == ["330110"]
    assert fields(await workers.http.get("/stations", params={"district": "x"})) == ["district"]


async def test_codes_that_were_merged_are_one_market(workers: Harness) -> None:
    """璧山县 became 璧山区: whoever names both waits there once."""
    await register(workers)
    here = (await check_in(workers, districts=["500227", "500120"])).json()
    assert here["districts"] == ["500120"]
    assert [said.district for said in await workers.published(WorkerCheckedIn)] == ["500120"]
