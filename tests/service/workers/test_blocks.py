"""Who does not want to be brought together with whom, and whom a region keeps from waiting for work."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.workers.store import Presence
from shared.auth import Role
from shared.contracts.workers import PairBlocked, PairUnblocked, WorkerCheckedOut
from shared.testing import Harness
from tests.service.workers.conftest import DISTRICT, check_in, fields, register

pytestmark = pytest.mark.feature("F38")

SIDES: list[tuple[Role, str, str]] = [("worker", "worker-1", "employer-1"), ("employer", "employer-1", "worker-1")]


async def block(workers: Harness, side: Role, who: str, whom: str, **asked: Any) -> httpx.Response:
    body = {"reason": "other"} | asked
    return await workers.http.put(f"/blocks/{whom}", json=body, headers=workers.as_(side, who))


@pytest.mark.parametrize(("side", "who", "whom"), SIDES)
async def test_either_side_blocks_and_takes_it_back_and_the_other_does_not_see_it(
    workers: Harness, side: Role, who: str, whom: str
) -> None:
    answer = await block(workers, side, who, whom, reason="unsafe")
    assert (answer.status_code, answer.json()["with_id"], answer.json()["until"]) == (200, whom, None)
    assert "stay" in answer.json()["note"]
    (said,) = await workers.published(PairBlocked)
    assert (said.worker_id, said.employer_id, said.until) == ("worker-1", "employer-1", None)
    assert set(said.model_dump()) == {"block_id", "worker_id", "employer_id", "until"}  # neither who nor why
    assert who not in said.block_id

    mine = await workers.http.get("/blocks", headers=workers.as_(side, who))
    assert [(each["with_id"], each["reason"]) for each in mine.json()["items"]] == [(whom, "unsafe")]
    other: Role = "employer" if side == "worker" else "worker"
    assert (await workers.http.get("/blocks", headers=workers.as_(other, whom))).json()["items"] == []

    await workers.http.delete(f"/blocks/{who}", headers=workers.as_(other, whom))
    assert await workers.published(PairUnblocked) == []
    for _ in range(2):
        gone = await workers.http.delete(f"/blocks/{whom}", headers=workers.as_(side, who))
        assert gone.status_code == 204
    (back,) = await workers.published(PairUnblocked)
    assert back.block_id == said.block_id


async def test_a_block_is_replaced_and_ends_by_itself(workers: Harness) -> None:
    until = workers.clock.now + timedelta(days=30)
    await block(workers, "worker", "worker-1", "employer-1")
    await block(workers, "worker", "worker-1", "employer-1", until=until.isoformat())
    first, second = await workers.published(PairBlocked)
    assert (first.block_id, first.until, second.until) == (second.block_id, None, until)
    workers.clock.now = until - timedelta(seconds=1)
    headers = workers.as_("worker", "worker-1")
    assert len((await workers.http.get("/blocks", headers=headers)).json()["items"]) == 1
    workers.clock.advance(seconds=1)
    assert (await workers.http.get("/blocks", headers=headers)).json()["items"] == []
    assert fields(await block(workers, "worker", "worker-1", "employer-1", until=until.isoformat())) == ["until"]


# --- a region's ban --------------------------------------------------------------------------------------------------


async def ban(workers: Harness, *, districts: tuple[str, ...] = (DISTRICT,), **asked: Any) -> httpx.Response:
    body = {"reason": "fraud", "note": "Another person worked in their name."} | asked
    clerk = workers.as_("clerk", "clerk-1", districts=districts)
    return await workers.http.put("/worker-1/ban", json=body, headers=clerk)


async def test_a_ban_ends_the_check_in_refuses_others_and_ends_at_its_second(workers: Harness) -> None:
    await register(workers)
    await check_in(workers)
    until = workers.clock.now + timedelta(days=7)
    assert (await ban(workers, until=until.isoformat())).status_code == 200
    assert await workers.all(Presence) == []
    (gone,) = await workers.published(WorkerCheckedOut)
    assert gone.worker_id == "worker-1"
    workers.clock.now = until - timedelta(seconds=1)
    refused = await check_in(workers)
    assert (refused.status_code, refused.json()["code"]) == (409, "banned")
    assert datetime.fromisoformat(refused.json()["facts"]["until"]) == until
    assert "appeal" in refused.json()["detail"]
    workers.clock.advance(seconds=1)
    assert (await check_in(workers)).status_code == 201


async def test_a_clerk_lifts_a_ban(workers: Harness) -> None:
    await register(workers)
    await ban(workers)
    assert (await check_in(workers)).status_code == 409
    clerk = workers.as_("clerk", "clerk-1", districts=(DISTRICT,))
    assert (await workers.http.delete("/worker-1/ban", headers=clerk)).status_code == 204
    assert (await check_in(workers)).status_code == 201
    audit = await workers.runtime.store.db["_audit"].find({}).to_list()
    assert [(row["what"], row["by"]) for row in audit] == [("worker banned", "clerk-1"), ("ban lifted", "clerk-1")]


async def test_who_may_ban(workers: Harness) -> None:
    await register(workers)
    assert (await ban(workers, districts=("330110",))).status_code == 403
    for caller in (workers.as_("worker", "worker-1"), workers.as_("employer", "employer-1")):
        answer = await workers.http.put("/worker-1/ban", json={"reason": "x", "note": "because"}, headers=caller)
        assert answer.status_code == 403
    past = (workers.clock.now).isoformat()
    assert fields(await ban(workers, until=past)) == ["until"]


# --- an appeal against it --------------------------------------------------------------------------------------------


def clerk(workers: Harness, who: str, *districts: str) -> dict[str, str]:
    return workers.as_("clerk", who, districts=districts or (DISTRICT,))


async def appeals(workers: Harness, text: str = "I was in hospital that day.") -> httpx.Response:
    return await workers.http.post("/me/ban/appeal", json={"text": text}, headers=workers.as_("worker", "worker-1"))


async def decides(workers: Harness, who: str, *districts: str, upheld: bool = True) -> httpx.Response:
    body = {"upheld": upheld, "reason": "The hospital's paper was seen."}
    return await workers.http.post("/worker-1/ban/appeal/decision", json=body, headers=clerk(workers, who, *districts))


async def waiting(workers: Harness, *districts: str) -> list[str]:
    answer = await workers.http.get("/bans/appeals", headers=clerk(workers, "clerk-2", *districts))
    return [item["worker_id"] for item in answer.json()["items"]]


async def test_an_appeal_that_was_right_ends_a_ban(workers: Harness) -> None:
    await register(workers)
    await ban(workers)
    assert (await appeals(workers, "first")).status_code == 200
    assert (await appeals(workers)).json()["appeal"]["state"] == "waiting"
    assert (await check_in(workers)).status_code == 409
    assert await waiting(workers) == ["worker-1"]
    assert await waiting(workers, "330110") == []
    decided = (await decides(workers, "clerk-2")).json()["appeal"]
    assert (decided["text"], decided["state"]) == ("I was in hospital that day.", "upheld")
    assert await waiting(workers) == []
    assert (await check_in(workers)).status_code == 201
    mine = await workers.http.get("/me/ban", headers=workers.as_("worker", "worker-1"))
    assert mine.json()["appeal"]["reason"] == "The hospital's paper was seen."


async def test_an_appeal_that_was_not_right_is_decided_once(workers: Harness) -> None:
    await register(workers)
    await ban(workers)
    await appeals(workers)
    assert (await decides(workers, "clerk-2", upheld=False)).status_code == 200
    assert (await check_in(workers)).status_code == 409
    again = await appeals(workers)
    assert (again.status_code, again.json()["code"]) == (409, "appeal-decided")
    assert (await decides(workers, "clerk-2")).json()["code"] == "no-appeal-waits"


async def test_who_decides_an_appeal(workers: Harness) -> None:
    await register(workers)
    assert (await appeals(workers)).status_code == 404
    await ban(workers)
    assert (await decides(workers, "clerk-2")).json()["code"] == "no-appeal-waits"
    await appeals(workers)
    assert (await decides(workers, "clerk-1")).json()["code"] == "same-clerk"
    assert (await decides(workers, "clerk-2", "330110")).status_code == 403
    as_worker = workers.as_("worker", "worker-1")
    answer = await workers.http.post("/worker-1/ban/appeal/decision", json={}, headers=as_worker)
    assert answer.status_code == 403


async def test_a_ban_that_is_over_needs_no_appeal(workers: Harness) -> None:
    await register(workers)
    await ban(workers, until=(workers.clock.now + timedelta(hours=1)).isoformat())
    workers.clock.advance(hours=1)
    assert (await appeals(workers)).status_code == 404


async def test_what_an_appeal_says_is_sealed(workers: Harness) -> None:
    await register(workers)
    await ban(workers)
    await appeals(workers)
    row = await workers.runtime.store.db["workers"].find_one({"_id": "worker-1"})
    assert row is not None
    assert b"hospital" not in row["ban"]["appeal"]["text"]
