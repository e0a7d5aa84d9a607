"""A worker's account is erased: the registry forgets them, and what came before brings nothing back."""

from datetime import timedelta

import pytest

from services.workers.store import Block, KeptBan, Presence, Worker
from shared.contracts.identity import AccountErased
from shared.contracts.workers import WorkerCheckedOut
from shared.testing import Harness
from tests.service.workers.conftest import NAME, check_in, draft, id_number, register

pytestmark = pytest.mark.feature("F37")


def erased(workers: Harness, worker_id: str = "worker-1") -> AccountErased:
    return AccountErased(account_id=worker_id, role="worker", at=workers.clock.now)


async def known(workers: Harness) -> None:
    """A worker who waits, with a block of their own; and somebody else, who is not to be forgotten."""
    await register(workers)
    await check_in(workers)
    await register(workers, "worker-2", id_number=id_number(3), name="乙二百")
    for worker, employer in (("worker-1", "e1"), ("worker-2", "e1")):
        headers = workers.as_("worker", worker)
        assert (await workers.http.put(f"/blocks/{employer}", json={"reason": "other"}, headers=headers)).is_success


async def test_the_registry_forgets_a_worker_and_nobody_else(workers: Harness) -> None:
    await known(workers)
    await workers.receives(erased(workers))
    assert [worker.id for worker in await workers.all(Worker)] == ["worker-2"]
    assert [block.by_id for block in await workers.all(Block)] == ["worker-2"]
    assert await workers.all(Presence) == []
    assert [said.worker_id for said in await workers.published(WorkerCheckedOut)] == ["worker-1"]
    refused = await workers.http.get("/me", headers=workers.as_("worker", "worker-1"))
    assert (refused.status_code, refused.json()["code"]) == (401, "account-erased")
    assert (await workers.http.get("/me", headers=workers.as_("worker", "worker-2"))).json()["name"] == "乙二百"
    assert (await workers.http.get("/erasures/worker-1")).status_code == 200
    await workers.later(days=400)  # nothing is timed for them any more
    assert await workers.dead() == []


async def test_to_be_told_again_changes_nothing_and_the_person_may_register_anew(workers: Harness) -> None:
    await known(workers)
    await workers.receives(erased(workers))
    first = (await workers.http.get("/erasures/worker-1")).json()
    workers.clock.advance(hours=1)
    await workers.receives(erased(workers))
    assert (await workers.http.get("/erasures/worker-1")).json() == first
    assert (await register(workers, "worker-3")).status_code == 201
    body = draft(id_number=id_number(5), account_id="worker-1")
    clerks = await workers.http.post("/registration", json=body, headers=workers.as_("operator", "op"))
    assert (clerks.status_code, clerks.json()["code"]) == (410, "account-erased")


async def ban(workers: Harness, until: str | None = None) -> None:
    body = {"reason": "harassment", "note": "甲一 was told off twice at the counter.", "until": until}
    assert (await workers.http.put("/worker-1/ban", json=body, headers=workers.as_("operator", "op"))).is_success


async def test_a_ban_in_force_is_not_escaped_by_erasing_the_account(workers: Harness) -> None:
    await register(workers)
    await ban(workers)
    await workers.receives(erased(workers))
    await workers.receives(erased(workers))
    db = workers.runtime.store.db
    left = repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])
    assert "甲一" not in left  # what the clerk wrote went with the person
    await register(workers, "worker-2", id_number=id_number(3))
    assert (await check_in(workers, "worker-2")).is_success  # another number is free
    assert (await register(workers, "worker-3")).status_code == 201
    refused = await check_in(workers, "worker-3")
    assert (refused.status_code, refused.json()["code"]) == (409, "banned")
    appeal = {"text": "It was a misunderstanding, and it was long ago."}
    assert (
        await workers.http.post("/me/ban/appeal", json=appeal, headers=workers.as_("worker", "worker-3"))
    ).is_success
    assert await workers.all(KeptBan) == []


async def test_a_ban_that_is_over_or_was_lifted_is_not_kept(workers: Harness) -> None:
    await register(workers)
    await ban(workers, until=(workers.clock.now + timedelta(hours=1)).isoformat())
    await workers.later(hours=1)
    await workers.receives(erased(workers))
    assert await workers.all(KeptBan) == []
    await register(workers, "worker-2")
    assert (await check_in(workers, "worker-2")).is_success


async def test_a_ban_with_an_end_is_kept_until_that(workers: Harness) -> None:
    await register(workers)
    until = workers.clock.now + timedelta(days=30)
    await ban(workers, until=until.isoformat())
    await workers.receives(erased(workers))
    (kept,) = await workers.all(KeptBan)
    assert (kept.gone_at, kept.ban.until) == (until, until)
    await workers.later(days=30)
    await register(workers, "worker-2")
    assert (await check_in(workers, "worker-2")).is_success


async def test_nothing_readable_is_left_in_the_database(workers: Harness) -> None:
    await known(workers)
    copy = await workers.runtime.store.db["workers"].find_one({"_id": "worker-1"})
    await workers.receives(erased(workers))
    db = workers.runtime.store.db
    left = repr([await db[name].find({}).to_list() for name in await db.list_collection_names()])
    assert copy is not None
    assert "worker-2" in left
    for secret in (NAME, id_number(), copy["id_index"], repr(copy["name"])):
        assert secret not in left


async def test_an_export_opens_what_is_sealed_and_is_of_the_caller_alone(workers: Harness) -> None:
    await known(workers)
    mine = (await workers.http.get("/me/export", headers=workers.as_("worker", "worker-1"))).json()["collections"]
    (worker,) = mine["workers"]
    assert (worker["name"], worker["id_number"]) == (NAME, id_number())
    assert "older-jobseeker" in worker["hardship"]
    assert len(mine["presences"]) == len(mine["blocks"]) == 1
    theirs = await workers.http.get("/me/export", headers=workers.as_("employer", "e1"))
    assert not any(theirs.json()["collections"].values())
