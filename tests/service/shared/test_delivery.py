"""The delivery rules (DESIGN 4): each protection is shown to work, and shown to be what does the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared import clock
from shared.contracts.posting import GigReopened
from shared.delivery import Fenced, Letter, NotTogether, TooMany
from shared.testing import Harness
from shared.unit import Unit, outbox_row
from tests.ledger import Count, Mood, filled

TOPIC = "posting.gig"


async def heard(ledger: Harness, gig: str) -> int:
    found = await ledger.get(Count, gig)
    return found.heard if found else 0


def letters(*events: Any, first: int = 0, partition: int = 0) -> list[Letter]:
    rows = [outbox_row(event, clock.new_id(), 1, "test", clock.now(), {}) for event in events]
    return [Letter(TOPIC, partition, first + n, row.key, row.headers, row.body) for n, row in enumerate(rows)]


async def test_a_batch_is_handled_in_order(ledger: Harness) -> None:
    await ledger.receives(*(filled("g", n) for n in range(50)))
    found = await ledger.get(Count, "g")
    assert found is not None
    assert found.order == list(range(50))
    assert [said.placed for said in await ledger.published(GigReopened)] == list(range(1, 51))


async def test_an_event_delivered_twice_acts_once(ledger: Harness) -> None:
    for _ in range(2):
        await ledger.receives(filled("g"), id="the-same")
    await ledger.receives(filled("g"), filled("g"), id="twice-in-a-batch")
    assert await heard(ledger, "g") == 2
    assert len(await ledger.published()) == 2


async def test_without_the_inbox_the_same_event_would_act_twice(
    ledger: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.receives(filled("g"), id="the-same")
    await ledger.runtime.store.db["_inbox"].delete_many({})
    await ledger.receives(filled("g"), id="the-same")
    assert await heard(ledger, "g") == 2


async def test_of_three_processes_at_one_offset_one_acts(ledger: Harness) -> None:
    batch = letters(filled("g"), filled("g"))
    fence = "ledger:posting.gig:0"
    await ledger.runtime.delivery.fence(fence)
    # Each has other event ids, so that only the fence can tell that the batch is done.
    results = await asyncio.gather(
        *(ledger.runtime.delivery.deliver(fence, 0, letters(filled("g"), filled("g"))) for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Fenced", "Fenced", "int"]
    assert await heard(ledger, "g") == len(batch)


async def test_without_the_fence_a_zombie_would_act(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_gate(*_: Any) -> None: ...

    monkeypatch.setattr(ledger.runtime.delivery, "_move_fences", open_gate)
    for _ in range(2):
        await ledger.runtime.delivery.deliver("ledger:posting.gig:0", 0, letters(filled("g")))
    assert await heard(ledger, "g") == 2


async def test_what_comes_of_several_partitions_is_one_transaction(
    ledger: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = ledger.runtime.delivery
    commits: list[Unit] = []
    monkeypatch.setattr(ledger.runtime.store, "after_commit", commits.append)
    fences = ["ledger:posting.gig:0", "ledger:posting.gig:1"]
    for fence in fences:
        await delivery.fence(fence)
    ends = await delivery.deliver_together(
        {fences[0]: (0, letters(filled("g"), filled("h"))), fences[1]: (0, letters(filled("g"), partition=1))}
    )
    assert ends == dict(zip(fences, (2, 1), strict=True))
    assert (await heard(ledger, "g"), await heard(ledger, "h"), len(commits)) == (2, 1, 1)
    assert [await delivery.fence(fence) for fence in fences] == [2, 1]


@pytest.mark.parametrize("wrong", ["fenced", "too large"])
async def test_partitions_of_which_one_is_not_as_usual_are_left_to_be_done_each_by_itself(
    ledger: Harness, wrong: str
) -> None:
    delivery = ledger.runtime.delivery
    fences = ["ledger:posting.gig:0", "ledger:posting.gig:1"]
    for fence in fences:
        await delivery.fence(fence)
    if wrong == "fenced":
        await delivery.deliver(fences[1], 0, letters(filled("x")))
    other = filled("g" if wrong == "fenced" else "huge")
    batches = {fences[0]: (0, letters(filled("f"))), fences[1]: (0, letters(other, partition=1))}
    with pytest.raises(NotTogether):
        await delivery.deliver_together(batches)
    assert (await heard(ledger, "f"), await heard(ledger, other.gig_id)) == (0, 0)
    assert await delivery.fence(fences[0]) == 0


async def test_a_zombie_is_told_where_the_partition_is(ledger: Harness) -> None:
    fence = "ledger:posting.gig:0"
    await ledger.runtime.delivery.fence(fence)
    await ledger.runtime.delivery.deliver(fence, 0, letters(filled("g"), filled("g")))
    with pytest.raises(Fenced) as fenced:
        await ledger.runtime.delivery.deliver(fence, 0, letters(filled("g")))
    assert fenced.value.at == 2


async def test_a_refused_event_leaves_nothing_and_the_partition_goes_on(ledger: Harness) -> None:
    Mood.refuses = {"bad"}
    await ledger.receives(filled("before"), filled("bad"), filled("bad"), filled("after"))
    assert [await heard(ledger, gig) for gig in ("before", "bad", "after")] == [1, 0, 1]
    assert [(row["kind"], row["reason"]) for row in await ledger.dead()] == [("refused", "refused-here: Refused.")] * 2
    assert {said.gig_id for said in await ledger.published()} == {"before", "after"}


async def test_a_stumble_is_tried_again(ledger: Harness) -> None:
    Mood.stumbles = {"g": 2}
    await ledger.receives(filled("g"))
    assert await heard(ledger, "g") == 1
    assert await ledger.dead() == []


async def test_later_events_of_a_failed_subject_wait_behind_it(ledger: Harness) -> None:
    Mood.fails = {"bad"}
    await ledger.receives(filled("bad", 1), filled("good"), filled("bad", 2))
    Mood.reset()
    await ledger.receives(filled("bad", 3), filled("good"))
    assert [await heard(ledger, gig) for gig in ("bad", "good")] == [0, 2]
    assert [row["kind"] for row in await ledger.dead()] == ["failed", "parked", "parked"]


async def test_an_event_that_breaks_the_commit_is_found_by_halving(ledger: Harness) -> None:
    await ledger.receives(*(filled(f"g{n}") for n in range(9)), filled("huge"), *(filled(f"h{n}") for n in range(9)))
    assert [row["kind"] for row in await ledger.dead()] == ["failed"]
    assert len(await ledger.all(Count)) == 18


@asynccontextmanager
async def transactions_end_after(seconds: int, ledger: Harness) -> AsyncIterator[None]:
    admin = ledger.runtime.client.admin
    before = await admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
    await admin.command("setParameter", 1, transactionLifetimeLimitSeconds=seconds)
    try:
        yield
    finally:
        limit = before["transactionLifetimeLimitSeconds"]
        await admin.command("setParameter", 1, transactionLifetimeLimitSeconds=limit)


async def test_a_batch_that_outlives_its_transaction_is_done_in_smaller_ones(ledger: Harness) -> None:
    async with transactions_end_after(2, ledger):
        Mood.takes = 0.4
        await ledger.receives(*(filled("g", n) for n in range(16)))  # 6.4 s in one transaction
    found = await ledger.get(Count, "g")
    assert found is not None
    assert found.order == list(range(16))
    assert await ledger.dead() == []


async def test_of_such_a_batch_no_more_is_begun_once_the_partition_is_given_away(
    ledger: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = ledger.runtime.delivery
    fence = "ledger:posting.gig:0"
    await delivery.fence(fence)
    monkeypatch.setattr(delivery, "_at_once", 4)
    ours = iter((True, True, False))
    batch = letters(*(filled("g", n) for n in range(16)))
    at = await delivery.deliver(fence, 0, batch, ours=lambda: next(ours))
    assert (at, await heard(ledger, "g")) == (9, 9)  # 4, and 5: what may be done at once grows again
    assert await delivery.deliver(fence, at, batch[at:]) == 16
    assert await heard(ledger, "g") == 16


async def test_in_one_transaction_such_a_batch_would_never_be_done(
    ledger: Harness,
) -> None:
    delivery = ledger.runtime.delivery
    fence = "ledger:posting.gig:0"
    await delivery.fence(fence)
    async with transactions_end_after(2, ledger):
        Mood.takes = 0.4
        with pytest.raises(TooMany):
            await delivery._deliver(fence, 0, letters(*(filled("g", n) for n in range(16))))
    assert await heard(ledger, "g") == 0


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"{", {}, "body is no posting.gig-filled.v1"),
        (b'{"gig_id": "g"}', {}, "district: Field required"),
        (b"\xff\xfe", {}, "body is no posting.gig-filled.v1"),
        (b"{}", {"ce_type": ""}, "header ce_type is missing"),
        (b"{}", {"ce_id": ""}, "header ce_id is missing"),
        (b"{}", {"ce_type": "posting.gig-sung.v1"}, "unknown type posting.gig-sung.v1"),
        (b"{}", {"ce_type": "posting.gig-filled.v9"}, "unknown type posting.gig-filled.v9"),
    ],
)
async def test_an_unreadable_event_is_set_aside_with_its_reason(
    ledger: Harness, body: bytes, headers: dict[str, str], reason: str
) -> None:
    full = {"ce_id": "x", "ce_type": "posting.gig-filled.v1", "ce_subject": "g"} | headers
    await ledger.receives_letters(ledger.letter(TOPIC, body, **full), topic=TOPIC)
    await ledger.receives(filled("after"))
    (row,) = await ledger.dead()
    assert row["kind"] == "unreadable"
    assert reason in row["reason"]
    assert row["body"] == body
    outbox = await ledger.runtime.store.db["_outbox"].find({"topic": "ledger.dead"}).to_list()
    assert [reason in letter["headers"]["dead_reason"] for letter in outbox] == [True]
    assert await heard(ledger, "after") == 1


async def test_events_are_numbered_without_a_gap(ledger: Harness) -> None:
    async def say(unit: Unit) -> None:
        for _ in range(3):
            unit.publish(filled("g"))

    await asyncio.gather(*(ledger.runtime.store.transact(say) for _ in range(8)))
    rows = await ledger.runtime.store.db["_outbox"].find({"stream": "posting.gig:g"}).to_list()
    assert sorted(row["sequence"] for row in rows) == list(range(1, 25))
    assert {int(row["headers"]["ce_sequence"]) for row in rows} == set(range(1, 25))


async def test_a_unit_that_fails_leaves_nothing(ledger: Harness) -> None:
    async def half(unit: Unit) -> None:
        unit.save(Count(id="g", heard=1))
        unit.publish(filled("g"))
        unit.set_timer("bell", "g", unit.now)
        await unit.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await ledger.runtime.store.transact(half)
    assert await ledger.all(Count) == []
    assert await ledger.published() == []
    assert await ledger.runtime.store.db["_timers"].count_documents({}) == 0


async def test_a_unit_sees_what_it_saved(ledger: Harness) -> None:
    async def work(unit: Unit) -> tuple[int, bool]:
        unit.save(Count(id="a", heard=1))
        first = await unit.find(Count, {"heard": 1})
        unit.delete(first[0])
        return len(first), bool(await unit.find(Count, {}))

    assert await ledger.runtime.store.transact(work) == (1, False)


async def test_two_units_that_change_one_document_both_count(ledger: Harness) -> None:
    async def add(unit: Unit) -> None:
        found = await unit.get(Count, "g") or Count(id="g")
        await asyncio.sleep(0)
        found.heard += 1
        unit.save(found)

    await asyncio.gather(*(ledger.runtime.store.transact(add) for _ in range(20)))
    assert await heard(ledger, "g") == 20


async def test_traces_go_through_the_outbox(ledger: Harness) -> None:
    with ledger.runtime.tracer.start_as_current_span("cause") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"

        async def say(unit: Unit) -> None:
            unit.publish(filled("g"))

        await ledger.runtime.store.transact(say)
    (row,) = await ledger.runtime.store.db["_outbox"].find({}).to_list()
    assert row["headers"]["traceparent"].split("-")[1] == trace_id
