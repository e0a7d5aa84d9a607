"""Ratings: only by a shift's two sides, once each, unseen until both have rated or seven days are over."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.rights import ratings
from services.rights.rules import POLICY
from services.rights.store import Ratings
from shared.auth import Role
from shared.contracts.rights import RatingPublished
from shared.testing import Harness
from tests.service.rights.placements import EMPLOYER, MORNING, WORKER, placement_cancelled, placement_made

pytestmark = pytest.mark.feature("F25")

ENDED = MORNING + timedelta(hours=10)
OPEN = timedelta(days=7)


async def worked(rights: Harness, *placements: str, worker_id: str = WORKER) -> None:
    """Shifts from 8 to 16 o'clock of workers of their own, ended by their planned end; the clock stands there."""
    for n, placement in enumerate(placements or ["placement-1"]):
        who = worker_id if n == 0 else f"{worker_id}-{n}"
        await rights.receives(placement_made(placement, worker_id=who))
    rights.clock.now = MORNING + timedelta(hours=2)
    for n, placement in enumerate(placements or ["placement-1"]):
        who = worker_id if n == 0 else f"{worker_id}-{n}"
        answer = await rights.http.post(f"/shifts/{placement}/start", headers=rights.as_("worker", who))
        assert answer.status_code == 200
    await rights.later(hours=8)
    assert rights.clock.now == ENDED


async def by_worker(rights: Harness, placement: str = "placement-1", who: str = WORKER, **form: Any) -> httpx.Response:
    path = f"/ratings/{placement}/of-employer"
    return await rights.http.post(path, json={"points": 4, **form}, headers=rights.as_("worker", who))


async def by_employer(rights: Harness, who: str = EMPLOYER, **form: Any) -> httpx.Response:
    path = "/ratings/placement-1/of-worker"
    return await rights.http.post(path, json={"points": 5, **form}, headers=rights.as_("employer", who))


async def seen(rights: Harness, role: Role, who: str) -> dict[str, Any]:
    answer = await rights.http.get("/ratings/placement-1", headers=rights.as_(role, who, districts=["4301"]))
    body: dict[str, Any] = answer.json()
    return body


async def test_both_see_both_when_both_have_rated(rights: Harness) -> None:
    await worked(rights)
    first = await by_worker(rights, codes=["as-described"], text="老板人好")
    assert first.status_code == 201
    assert first.json()["by_worker"]["text"] == "老板人好"
    hidden = await seen(rights, "employer", EMPLOYER)
    assert (hidden["by_worker"], hidden["published_at"]) == (None, None)
    assert (await seen(rights, "clerk", "clerk-1"))["by_worker"] is None
    assert await rights.published(RatingPublished) == []
    second = await by_employer(rights, codes=["punctual"])
    assert second.status_code == 201
    readers: list[tuple[Role, str]] = [("worker", WORKER), ("employer", EMPLOYER), ("clerk", "clerk-1")]
    for role, who in readers:
        both = await seen(rights, role, who)
        assert (both["by_worker"]["points"], both["by_employer"]["points"]) == (4, 5)
        assert both["by_worker"]["text"] == "老板人好"
    [said] = await rights.published(RatingPublished)
    assert (said.worker_points, said.worker_codes) == (5, ("punctual",))
    assert (said.employer_points, said.employer_codes) == (4, ("as-described",))
    await rights.later(days=8)
    assert len(await rights.published(RatingPublished)) == 1


async def test_one_rating_is_seen_after_seven_days_to_the_second(rights: Harness) -> None:
    await worked(rights)
    await by_worker(rights)
    rights.clock.now = ENDED + OPEN - timedelta(seconds=1)
    await rights.later(seconds=0)
    assert await rights.published(RatingPublished) == []
    await rights.later(seconds=1)
    [said] = await rights.published(RatingPublished)
    assert (said.employer_points, said.worker_points, said.at) == (4, None, ENDED + OPEN)
    assert (await seen(rights, "employer", EMPLOYER))["by_worker"]["points"] == 4
    late = await by_employer(rights)
    assert (late.status_code, late.json()["code"]) == (409, "rating-closed")


async def test_rating_is_open_until_the_last_moment(rights: Harness) -> None:
    await worked(rights)
    rights.clock.now = ENDED + OPEN - timedelta(seconds=1)
    assert (await by_worker(rights)).status_code == 201
    rights.clock.advance(seconds=1)
    assert (await by_employer(rights)).json()["code"] == "rating-closed"


async def test_each_side_rates_once(rights: Harness) -> None:
    await worked(rights)
    await by_worker(rights)
    again = await by_worker(rights, points=1)
    assert (again.status_code, again.json()["code"]) == (409, "already-rated")
    assert (await seen(rights, "worker", WORKER))["by_worker"]["points"] == 4


async def test_of_two_ratings_at_once_both_count_and_are_published_once(rights: Harness) -> None:
    await worked(rights)
    answers = await asyncio.gather(by_worker(rights), by_employer(rights), by_worker(rights))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409]
    [said] = await rights.published(RatingPublished)
    assert (said.worker_points, said.employer_points) == (5, 4)


async def test_strangers_rate_nobody(rights: Harness) -> None:
    await worked(rights)
    assert (await by_worker(rights, who="worker-2")).status_code == 404
    assert (await by_employer(rights, who="employer-2")).status_code == 404
    path = "/ratings/placement-1/of-worker"
    others: tuple[Role, ...] = ("worker", "clerk", "operator", "agency")
    for role in others:
        answer = await rights.http.post(path, json={"points": 1}, headers=rights.as_(role, WORKER, districts=["4301"]))
        assert answer.status_code == 403
    assert await rights.all(Ratings) == []
    await by_worker(rights)
    strangers: list[tuple[Role, str]] = [("worker", "worker-2"), ("employer", "employer-2")]
    for role, who in strangers:
        answer = await rights.http.get("/ratings/placement-1", headers=rights.as_(role, who))
        assert answer.status_code == 404


async def test_only_a_shift_that_ended_is_rated(rights: Harness) -> None:
    await rights.receives(placement_made())
    planned = await by_worker(rights)
    rights.clock.advance(hours=2)
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    started = await by_employer(rights)
    await rights.receives(placement_made("placement-2"), placement_cancelled("placement-2"))
    cancelled = await by_worker(rights, "placement-2")
    for answer in (planned, started, cancelled):
        assert (answer.status_code, answer.json()["code"]) == (409, "not-ended")
    assert await rights.all(Ratings) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("points", 0), ("points", 6), ("points", 4.5), ("codes", ["punctual"]), ("codes", ["x"]), ("text", "x" * 501)],
)
async def test_what_is_no_rating_is_refused_by_its_field(rights: Harness, field: str, value: Any) -> None:
    await worked(rights)
    answer = await by_worker(rights, **{field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert await rights.all(Ratings) == []


async def test_what_people_write_is_sealed_and_in_no_event(rights: Harness) -> None:
    await worked(rights)
    words = "门口有条恶犬"
    await by_worker(rights, text=words)
    await by_employer(rights)
    raw = await rights.runtime.store.db["ratings"].find_one({})
    assert raw is not None
    assert words.encode() not in raw["by_worker"]["sealed"]
    rows = await rights.runtime.store.db["_outbox"].find({}).to_list()
    assert all(words.encode() not in row["body"] for row in rows)


async def test_an_average_is_of_published_ratings_from_three_on(rights: Harness) -> None:
    placements = [f"placement-{n}" for n in range(1, 5)]
    await worked(rights, *placements)

    async def average() -> tuple[Any, Any]:
        answer = await rights.http.get(f"/ratings/of-employer/{EMPLOYER}", headers=rights.as_("worker", "anyone"))
        return answer.json()["average"], answer.json()["ratings"]

    for n, points in enumerate((5, 4, 4)):
        who = WORKER if n == 0 else f"{WORKER}-{n}"
        assert (await by_worker(rights, placements[n], who, points=points)).status_code == 201
    assert await average() == (None, 0)
    await rights.later(days=7)
    assert await average() == (4.33, 3)
    await rights.later(days=POLICY.ratings.average_days)
    assert await average() == (None, 0)


async def test_a_workers_average_is_not_for_other_workers(rights: Harness) -> None:
    path = f"/ratings/of-worker/{WORKER}"
    callers: list[tuple[Role, str, int]] = [
        ("worker", WORKER, 200),
        ("employer", EMPLOYER, 200),
        ("clerk", "clerk-1", 200),
        ("worker", "worker-2", 404),
        ("agency", "agency-1", 404),
    ]
    for role, who, status in callers:
        answer = await rights.http.get(path, headers=rights.as_(role, who))
        assert answer.status_code == status
    assert ratings.RATINGS_CLOSE in rights.runtime.service.reactions.timers
