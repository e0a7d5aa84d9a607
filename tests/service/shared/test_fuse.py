"""The fuse: blows for all replicas, stays blown over restarts, and is whole again for all when a person resets it."""

from shared import fuse
from shared.fuse import LEAST, WINDOW, Fuse
from shared.telemetry import METRICS
from shared.testing import Harness
from tests.ledger import Mood, filled


def replica(ledger: Harness) -> Fuse:
    return Fuse(ledger.runtime.store.db, "ledger")


async def test_it_blows_when_half_of_the_last_events_are_dead(ledger: Harness) -> None:
    own = replica(ledger)
    own.count(LEAST - 1, 0)
    assert not own.blown
    own.count(0, WINDOW)
    own.count(WINDOW // 2 - 1, 0)
    assert not own.blown
    own.count(1, 0)
    assert own.blown


async def test_delivery_counts_for_it(ledger: Harness) -> None:
    Mood.refuses = {"bad"}
    await ledger.receives(*(filled("bad") for _ in range(LEAST)))
    assert ledger.runtime.bus.fuse.blown
    assert "kuaizhao fuse reset ledger" in " ".join(await ledger.runtime.not_ready())


async def test_parked_letters_do_not_count(ledger: Harness) -> None:
    Mood.fails = {"bad"}
    await ledger.receives(*(filled("bad") for _ in range(2 * LEAST)))
    assert len(await ledger.dead()) == 2 * LEAST
    assert not ledger.runtime.bus.fuse.blown


async def test_all_replicas_blow_also_those_that_start_later(ledger: Harness) -> None:
    first, second = replica(ledger), replica(ledger)
    first.count(LEAST, 0)
    await first.look()
    await second.look()
    restarted = replica(ledger)
    await restarted.look()
    assert (first.blown, second.blown, restarted.blown) == (True, True, True)
    assert METRICS.fuse_blown.labels("ledger")._value.get() == 1


async def test_a_reset_is_for_all_and_counts_anew(ledger: Harness) -> None:
    first, second = replica(ledger), replica(ledger)
    first.count(LEAST, 0)
    for each in (first, second):
        await each.look()
    found = await fuse.reset(ledger.runtime.store, by="ann")
    assert found is not None
    assert (found["dead"], found["of_last"]) == (LEAST, LEAST)
    for each in (first, second):
        await each.look()
        assert not each.blown
    first.count(LEAST - 1, 0)
    assert not first.blown, "what was before the reset still counts"
    assert METRICS.fuse_blown.labels("ledger")._value.get() == 0
    (row,) = await ledger.runtime.store.db["_audit"].find({}).to_list()
    assert (row["by"], row["what"], row["dead"]) == ("ann", "fuse-reset", LEAST)


async def test_a_whole_fuse_is_not_reset(ledger: Harness) -> None:
    assert await fuse.reset(ledger.runtime.store, by="ann") is None
    assert await ledger.runtime.store.db["_audit"].count_documents({}) == 0
