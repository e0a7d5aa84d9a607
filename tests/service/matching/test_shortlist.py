"""Both sides look before anything is offered."""

from typing import Any

import httpx
import pytest

from services.matching.store import Profile
from shared.contracts.workers import WorkerRegistered
from shared.testing import Harness
from tests.service.matching.kit import FURONG, LAT, LON, YUELU, accept, at, checked_in, offer_of, posted, profile, run

HERE = {"lat": LAT, "lon": LON}


async def listed(matching: Harness, worker: str = "worker-1", **wishes: Any) -> dict[str, Any]:
    body = {"districts": [FURONG], "position": HERE} | wishes
    answer = await matching.http.post("/shortlist", json=body, headers=matching.as_("worker", worker))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ids(matching: Harness, **wishes: Any) -> list[str]:
    return [item["gig_id"] for item in (await listed(matching, **wishes))["items"]]


async def registered(matching: Harness, **changes: Any) -> None:
    said = WorkerRegistered(worker_id="worker-1", district=FURONG, profile=profile(**changes))
    await matching.receives(said)


async def preview(matching: Harness, **changes: Any) -> httpx.Response:
    gig = posted()
    body = {
        "district": FURONG,
        **gig.terms.model_dump(mode="json", include={"occupation", "place", "period", "headcount", "pay"}),
    } | changes
    return await matching.http.post("/preview", json=body, headers=matching.as_("employer", "employer-1"))


async def test_somebody_registered_sees_what_fits_before_the_first_check_in(matching: Harness) -> None:
    """A mother in Bishan who wants work near home: local employers, most with meals, the best first, with reasons."""
    await registered(matching, reach_m=2_900, floor_fen_per_hour=2_000)
    for n in range(17):
        await matching.receives(
            posted(f"gig-{n:02}", north_m=n * 200, employer_id=f"employer-{n:02}", meals=n % 3 > 0, fen=2_000 + n)
        )
    found = await listed(matching)
    distances = [{r["code"]: r["value"] for r in item["reasons"]}["distance-m"] for item in found["items"]]
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    assert found["employers"] == len(distances) == 15
    assert max(distances) <= 2_900
    assert all(item["open_seats"] == 1 for item in found["items"])


async def test_wishes_leave_out_what_they_say(matching: Harness) -> None:
    await registered(matching)
    await matching.receives(
        posted("plain", start=2, end=6),
        posted("meals", start=2, end=6, meals=True),
        posted("lodging", start=2, end=6, lodging=True),
        posted("night", start=2, end=6, night_work=True),
        posted("far", start=2, end=6, north_m=3_000),
        posted("late", start=5, end=9),
    )
    every = {"plain", "meals", "lodging", "night", "far", "late"}
    assert set(await ids(matching)) == every
    assert await ids(matching, meals=True) == ["meals"]
    assert await ids(matching, lodging=True) == ["lodging"]
    assert set(await ids(matching, no_night_work=True)) == every - {"night"}
    assert set(await ids(matching, within_m=1_000)) == every - {"far"}
    assert set(await ids(matching, end=at(6).isoformat())) == every - {"late"}
    assert await ids(matching, start=at(2).isoformat(), end=at(5.99).isoformat()) == []
    assert await ids(matching, start=at(5).isoformat(), end=at(9).isoformat()) == ["late"]
    assert len(await ids(matching, limit=2)) == 2


async def test_what_is_listed_is_what_would_be_offered(matching: Harness) -> None:
    """The engine's hard rules, one by one; another district only when it is asked for."""
    await registered(matching, skills=("sorting",), floor_fen_per_hour=2_000, minor=True)
    await matching.receives(
        posted("fits", skills=("sorting",)),
        posted("unskilled", skills=("forklift",)),
        posted("poor", fen=1_999),
        posted("at-night", night_work=True),
        posted("elsewhere", district=YUELU),
        posted("too-far", north_m=9_000),
    )
    assert await ids(matching) == ["fits"]
    assert set(await ids(matching, districts=[FURONG, YUELU])) == {"fits", "elsewhere"}


async def test_what_was_promised_or_declined_is_not_listed(matching: Harness) -> None:
    await matching.receives(posted("taken", start=2, end=6), checked_in())
    await run(matching)
    await accept(matching, await offer_of(matching))
    await matching.receives(posted("overlaps", start=5, end=8), posted("after", start=6, end=7))
    assert await ids(matching) == ["after"]


async def test_who_is_not_registered_is_told_so(matching: Harness) -> None:
    answer = await matching.http.post(
        "/shortlist", json={"districts": [FURONG], "position": HERE}, headers=matching.as_("worker", "stranger")
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "not-registered")


async def test_an_older_profile_does_not_come_back(matching: Harness) -> None:
    await matching.receives(checked_in(revision=3, reach_m=7_000))
    await registered(matching, revision=0)
    (known,) = await matching.all(Profile)
    assert known.profile.reach_m == 7_000


async def test_an_employer_sees_how_many_would_fit_and_whom_each_rule_keeps(matching: Harness) -> None:
    await matching.receives(
        checked_in("near", floor_fen_per_hour=2_000),
        checked_in("dear", floor_fen_per_hour=3_000),
        checked_in("far", north_m=8_000),
        checked_in("dear-and-far", north_m=8_000, floor_fen_per_hour=3_000),
        checked_in("skilled", skills=("forklift",)),
        checked_in("other", district=YUELU),
    )
    found = (await preview(matching)).json()
    assert {name: found[name] for name in ("waiting", "free", "fit", "kept")} == {
        "waiting": 5,
        "free": 5,
        "fit": 2,
        "kept": {"pay": 2, "reach": 2},
    }
    assert (await preview(matching, skills=["forklift"])).json()["fit"] == 1
    dearer = {"amount_fen": 3_000, "unit": "hour", "mode": "same-day"}
    assert (await preview(matching, pay=dearer)).json()["fit"] == 3
    assert set(found) == {"at", "waiting", "free", "fit", "kept"}


async def test_who_has_an_offer_or_promised_the_time_is_not_counted_as_fitting(matching: Harness) -> None:
    await matching.receives(posted("gig-1", start=2, end=6), checked_in("busy"), checked_in("asked", checkin="second"))
    await run(matching)
    await accept(matching, await offer_of(matching, "busy"))
    await matching.receives(checked_in("busy", checkin="again"))
    found = (await preview(matching)).json()
    assert found["free"] <= found["waiting"]
    assert found["fit"] == 0
    nobody = (await preview(matching, district=YUELU)).json()
    assert (nobody["waiting"], nobody["fit"], nobody["kept"]) == (0, 0, {})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"district": "4301"}, "district"),
        ({"headcount": 0}, "headcount"),
        ({"place": {"lat": 91, "lon": 0, "address": "nowhere at all"}}, "place.lat"),
        ({"wage": 1}, "wage"),
    ],
)
async def test_a_preview_names_what_is_wrong(matching: Harness, changes: dict[str, Any], field: str) -> None:
    answer = await preview(matching, **changes)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_each_side_has_its_own_look(matching: Harness) -> None:
    body = {"districts": [FURONG], "position": HERE}
    assert (await matching.http.post("/shortlist", json=body, headers=matching.as_("employer"))).status_code == 403
    assert (await matching.http.post("/preview", json={}, headers=matching.as_("worker"))).status_code == 403
