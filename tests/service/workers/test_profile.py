"""A worker's own profile: shown to nobody else, changed at once, aging by itself."""

import asyncio
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from services.workers.store import Worker
from shared.auth import Role
from shared.contracts.workers import WorkerChanged
from shared.testing import Harness
from tests.service.workers.conftest import NAME, check_certificates, fields, id_number, register


async def change(workers: Harness, worker_id: str = "worker-1", /, **changes: Any) -> httpx.Response:
    return await workers.http.patch("/me", json=changes, headers=workers.as_("worker", worker_id))


async def me(workers: Harness, worker_id: str = "worker-1") -> httpx.Response:
    return await workers.http.get("/me", headers=workers.as_("worker", worker_id))


async def test_a_worker_sees_their_own_data(workers: Harness) -> None:
    await register(workers)
    mine = (await me(workers)).json()
    assert (mine["name"], mine["id_number"]) == (NAME, f"43{'*' * 14}{id_number()[-2:]}")
    assert (mine["hardship"], mine["tier"]) == (["older-jobseeker"], 1)
    assert mine["certificates"] == [
        {"code": "forklift", "valid_until": "2027-06-30", "checked": False},
        {"code": "health", "valid_until": None, "checked": False},
    ]
    assert mine["consent"]["before_clerk"] is False


async def test_whoever_is_not_registered_has_no_profile(workers: Harness) -> None:
    await register(workers)
    for answer in (await me(workers, "worker-2"), await change(workers, "worker-2", reach_m=1000)):
        assert answer.status_code == 404
    chinese = await workers.http.get("/me", headers=workers.as_("worker", "worker-2", accept_language="zh"))
    assert chinese.json()["detail"] == "没有这个登记信息。"


@pytest.mark.parametrize("role", ["employer", "clerk", "agency", "operator"])
async def test_nobody_else_reads_or_changes_a_profile(workers: Harness, role: Role) -> None:
    await register(workers)
    headers = workers.as_(role, "worker-1", districts=["4301"])
    assert (await workers.http.get("/me", headers=headers)).status_code == 403
    assert (await workers.http.patch("/me", json={"reach_m": 1000}, headers=headers)).status_code == 403
    assert (await workers.http.get("/me")).status_code == 401


async def test_a_change_is_said_whole(workers: Harness) -> None:
    await register(workers)
    answer = await change(workers, skills=["cooking"], floor_fen_per_hour=2500, accepts_automatically=True)
    assert answer.status_code == 200
    (said,) = await workers.published(WorkerChanged)
    assert said.profile.skills == ("cooking",)
    assert said.profile.floor_fen_per_hour == 2500
    assert said.profile.accepts_automatically is True
    assert said.profile.reach_m == 8000
    assert said.profile.certificates == ()  # no clerk has seen them
    assert said.profile.revision == 1


async def test_what_changes_nothing_is_not_said(workers: Harness) -> None:
    await register(workers)
    for same in ({}, {"reach_m": 8000}, {"hardship": ["older-jobseeker"]}):
        assert (await change(workers, **same)).status_code == 200
    assert await workers.published(WorkerChanged) == []


async def test_a_move_is_said(workers: Harness) -> None:
    await register(workers)
    await change(workers, district="430104")
    (said,) = await workers.published(WorkerChanged)
    assert said.district == "430104"


async def test_hardship_is_declared_and_withdrawn(workers: Harness) -> None:
    await register(workers)
    assert (await change(workers, hardship=["disability", "older-jobseeker"])).json()["tier"] == 2
    assert (await change(workers, hardship=[])).json()["tier"] == 0
    assert (await me(workers)).json()["hardship"] == []
    assert [said.profile.tier for said in await workers.published(WorkerChanged)] == [2, 0]


async def test_a_move_to_another_province_goes_by_its_table(workers: Harness) -> None:
    """A man of 52: an older jobseeker in Hunan, not yet in Zhejiang."""
    await register(workers)
    refused = await change(workers, district="330110")
    assert fields(refused) == ["hardship"]
    assert "55" in refused.json()["errors"][0]["detail"]
    assert (await change(workers, district="330110", hardship=["low-income"])).json()["tier"] == 2
    (worker,) = await workers.all(Worker)
    assert worker.tier_table.startswith("zhejiang")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "乙二"}, "name"),
        ({"id_number": id_number(3)}, "id_number"),
        ({"skills": None}, "skills"),
        ({"reach_m": "far"}, "reach_m"),
        ({"tier": 3}, "tier"),
        ({"certificates": [{"code": "health", "valid_until": "2020-01-01"}]}, "certificates.0.valid_until"),
    ],
)
async def test_what_cannot_be_changed_is_named(workers: Harness, changes: dict[str, Any], field: str) -> None:
    await register(workers)
    assert fields(await change(workers, **changes)) == [field]
    assert await workers.published(WorkerChanged) == []


async def test_changes_at_once_are_all_kept(workers: Harness) -> None:
    await register(workers)
    await asyncio.gather(
        change(workers, skills=["cooking"]),
        change(workers, reach_m=1000),
        change(workers, floor_fen_per_hour=3000),
        change(workers, accepts_automatically=True),
    )
    said = await workers.published(WorkerChanged)
    assert sorted(event.profile.revision for event in said) == [1, 2, 3, 4]
    newest = max(said, key=lambda event: event.profile.revision).profile
    assert (newest.skills, newest.reach_m, newest.floor_fen_per_hour, newest.accepts_automatically) == (
        ("cooking",),
        1000,
        3000,
        True,
    )


async def test_a_certificate_ends_by_itself_after_its_last_day(workers: Harness) -> None:
    await register(workers, certificates=[{"code": "health", "valid_until": "2026-11-24"}, "forklift"])
    await check_certificates(workers)
    await workers.later(days=1, hours=17, minutes=59)
    assert (await workers.published(WorkerChanged))[-1].profile.certificates == ("health", "forklift")
    await workers.later(minutes=1)
    assert (await workers.published(WorkerChanged))[-1].profile.certificates == ("forklift",)


async def test_each_certificate_ends_in_its_turn(workers: Harness) -> None:
    ends = [{"code": f"c{n}", "valid_until": str(date(2026, 11, 23) + timedelta(days=n))} for n in range(3)]
    await register(workers, certificates=ends)
    await check_certificates(workers)
    assert (await workers.published(WorkerChanged))[-1].profile.certificates == ("c0", "c1", "c2")
    await workers.later(days=10)
    assert (await workers.published(WorkerChanged))[-1].profile.certificates == ()


async def test_a_renewed_certificate_does_not_end(workers: Harness) -> None:
    await register(workers, certificates=[{"code": "health", "valid_until": "2026-11-24"}])
    await change(workers, certificates=["health"])
    await check_certificates(workers)
    await workers.later(days=3)
    assert [said.profile.certificates for said in await workers.published(WorkerChanged)] == [("health",)]


async def test_an_end_that_nobody_has_said_yet_is_not_forgotten(workers: Harness) -> None:
    """The certificate is over, its timer has not fired, and the worker changes something that others do not see."""
    await register(workers, certificates=[{"code": "health", "valid_until": "2026-11-23"}])
    await check_certificates(workers)
    workers.clock.advance(days=1)
    await change(workers, reach_m=8000)
    await workers.later(days=1)
    assert [said.profile.certificates for said in await workers.published(WorkerChanged)] == [("health",), ()]
