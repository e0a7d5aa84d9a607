"""Certificates: declared by the worker, checked by a clerk, good to the second; then they count."""

from typing import Any

import httpx
import pytest

from shared.contracts.workers import WorkerChanged
from shared.testing import Harness
from tests.service.workers.conftest import DISTRICT, check_certificates, draft, fields, register

pytestmark = pytest.mark.feature("F30")

HEALTH: dict[str, Any] = {"code": "health", "valid_until": "2026-11-24"}


def clerk(workers: Harness, *districts: str) -> dict[str, str]:
    return workers.as_("clerk", "clerk-1", districts=districts or (DISTRICT,))


async def check(workers: Harness, code: str = "health", /, *districts: str, **seen: Any) -> httpx.Response:
    body = {"approved": True, "valid_until": "2026-11-24"} | seen
    url = f"/worker-1/certificates/{code}/check"
    return await workers.http.post(url, json=body, headers=clerk(workers, *districts))


async def said(workers: Harness) -> list[tuple[str, ...]]:
    return [event.profile.certificates for event in await workers.published(WorkerChanged)]


async def declare(workers: Harness, *certificates: dict[str, Any]) -> httpx.Response:
    headers = workers.as_("worker", "worker-1")
    return await workers.http.patch("/me", json={"certificates": list(certificates)}, headers=headers)


async def test_what_is_declared_counts_once_a_clerk_saw_it(workers: Harness) -> None:
    await register(workers, certificates=[HEALTH])
    listed = (await workers.http.get("/worker-1/certificates", headers=clerk(workers))).json()
    assert listed["certificates"] == [HEALTH | {"checked": False}]
    assert (await check(workers)).json()["certificates"] == [HEALTH | {"checked": True}]
    assert await said(workers) == [("health",)]
    await check(workers)
    assert await said(workers) == [("health",)]


async def test_a_checked_certificate_ends_at_its_second_and_a_renewed_one_counts_when_it_is_checked(
    workers: Harness,
) -> None:
    await register(workers, certificates=[HEALTH])
    await check_certificates(workers)
    await workers.later(days=1, hours=17, minutes=59, seconds=59)
    assert await said(workers) == [("health",)]
    await workers.later(seconds=1)
    assert await said(workers) == [("health",), ()]
    renewed = HEALTH | {"valid_until": "2027-11-24"}
    answer = await declare(workers, renewed)
    assert answer.json()["certificates"] == [renewed | {"checked": False}]
    assert await said(workers) == [("health",), ()]
    await check(workers, valid_until="2027-11-24")
    assert await said(workers) == [("health",), (), ("health",)]


async def test_the_paper_has_the_last_word_on_its_day(workers: Harness) -> None:
    await register(workers, certificates=["health"])
    assert (await check(workers, valid_until="2026-11-23")).json()["certificates"][0]["valid_until"] == "2026-11-23"
    assert fields(await check(workers, valid_until="2026-11-22")) == ["valid_until"]
    await workers.later(hours=18)
    assert await said(workers) == [("health",), ()]


async def test_a_check_stays_with_what_was_checked_and_may_be_withdrawn(workers: Harness) -> None:
    await register(workers, certificates=[HEALTH])
    await check(workers)
    await declare(workers, HEALTH, {"code": "forklift"})
    assert await said(workers) == [("health",)]
    await check(workers, approved=False)
    assert await said(workers) == [("health",), ()]


async def test_what_a_clerk_enters_at_the_counter_is_checked(workers: Harness) -> None:
    body = draft(account_id="worker-1", certificates=[HEALTH])
    await workers.http.post("/registration", json=body, headers=clerk(workers))
    mine = await workers.http.get("/me", headers=workers.as_("worker", "worker-1"))
    assert mine.json()["certificates"] == [HEALTH | {"checked": True}]


async def test_who_checks_what(workers: Harness) -> None:
    await register(workers, certificates=[HEALTH])
    assert (await check(workers, "forklift")).status_code == 404
    assert (await check(workers, "health", "330110")).status_code == 403
    url, body = "/worker-1/certificates/health/check", {"approved": True}
    for caller in (workers.as_("worker", "worker-1"), workers.as_("employer")):
        assert (await workers.http.post(url, json=body, headers=caller)).status_code == 403
        assert (await workers.http.get("/worker-1/certificates", headers=caller)).status_code == 403
    assert (await workers.http.get("/nobody/certificates", headers=clerk(workers))).status_code == 404
    assert await said(workers) == []
