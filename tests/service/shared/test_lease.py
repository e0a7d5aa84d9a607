"""A chore's lease: one holder at a time, who seldom asks the database, and a successor when it is silent."""

from shared.lease import LENGTH, RENEW_AFTER, Lease
from shared.testing import Harness


async def test_one_has_it_and_seldom_asks(ledger: Harness) -> None:
    db = ledger.runtime.store.db
    first, second = Lease(db, "chore"), Lease(db, "chore")
    assert await first.held()
    assert not await second.held()
    before = await db["_leases"].find_one({"_id": "chore"})
    assert await first.held()
    assert await db["_leases"].find_one({"_id": "chore"}) == before
    await first.give_up()
    assert await Lease(db, "chore").held()
    assert not await first.held()


async def test_it_is_renewed_in_time_and_another_takes_what_ran_out(ledger: Harness) -> None:
    db = ledger.runtime.store.db
    first, second = Lease(db, "chore"), Lease(db, "chore")
    assert await first.held()
    before = await db["_leases"].find_one({"_id": "chore"})
    await ledger.later(seconds=RENEW_AFTER.total_seconds() + 0.1)
    assert await first.held()
    renewed = await db["_leases"].find_one({"_id": "chore"})
    assert before
    assert renewed
    assert renewed["until"] > before["until"]
    await ledger.later(seconds=LENGTH.total_seconds() + 1)
    assert await second.held()
    assert not await first.held()
