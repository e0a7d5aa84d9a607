"""Commands that commit together: each gets what it would have got alone, and one that is refused leaves nothing."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pymongo.asynchronous.collection import AsyncCollection

from shared import clock
from shared.audit import audit
from shared.group import meets
from shared.problems import Conflict, Text
from shared.store import Store
from shared.testing import Harness
from shared.unit import ANCHOR, FEW, Unit, at_once
from tests.ledger import Big, Count, filled

REFUSED = Text("Refused.", "拒绝。")

Work = Callable[[Unit], Awaitable[int]]


@pytest.fixture
def store(ledger: Harness) -> Store:
    return ledger.runtime.store


@pytest.fixture
def commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each transaction said."""
    seen: list[int] = []
    usual = store.after_commit

    def committed(unit: Unit) -> None:
        seen.append(len(unit.rows))
        usual(unit)

    monkeypatch.setattr(store, "after_commit", committed)
    return seen


def adding(id: str, amount: int = 1, *, refuse: bool = False) -> Work:
    async def work(unit: Unit) -> int:
        found = await unit.get(Count, id) or Count(id=id)
        found.heard += amount
        unit.save(found)
        unit.publish(filled(id, found.heard))
        if refuse:
            raise Conflict("refused-here", REFUSED)
        return found.heard

    return work


async def together(store: Store, *works: Work) -> list[int | BaseException]:
    """The outcomes of these commands, behind one that has the transaction to itself while they come."""
    begun = asyncio.Event()

    async def first(unit: Unit) -> int:
        begun.set()
        await asyncio.sleep(0.05)
        return 0

    leader = asyncio.create_task(store.command(first))
    await begun.wait()
    outcomes = await asyncio.gather(*(store.command(work) for work in works), return_exceptions=True)
    await leader
    return outcomes


async def heard(store: Store, id: str) -> int:
    found = await store.reading().get(Count, id)
    return found.heard if found else 0


async def test_what_comes_together_is_one_transaction(store: Store, commits: list[int]) -> None:
    assert await together(store, *(adding(f"g{n}", n) for n in range(20))) == list(range(20))
    assert commits == [0, 20]
    assert [await heard(store, f"g{n}") for n in range(20)] == list(range(20))


async def test_one_that_is_refused_leaves_nothing_and_the_others_all(
    ledger: Harness, store: Store, commits: list[int]
) -> None:
    outcomes = await together(store, adding("a"), adding("b", refuse=True), adding("c"))
    assert outcomes[0] == outcomes[2] == 1
    assert isinstance(outcomes[1], Conflict)
    assert (await heard(store, "a"), await heard(store, "b"), await heard(store, "c")) == (1, 0, 1)
    assert {event.gig_id for event in await ledger.published()} == {"a", "c"}
    assert commits == [0, 2]


async def test_those_that_change_the_same_do_so_one_after_the_other(
    ledger: Harness, store: Store, commits: list[int]
) -> None:
    works = [adding("g", refuse=n == 3) for n in range(10)]
    outcomes = await together(store, *works)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == list(range(1, 10))
    assert await heard(store, "g") == 9
    assert [event.placed for event in await ledger.published()] == list(range(1, 10))
    assert commits == [0, 9]


async def test_a_count_or_a_query_that_another_has_changed_is_asked_again(store: Store, commits: list[int]) -> None:
    async def at_most_three(unit: Unit) -> int:
        there = await unit.count(Count, {}), len(await unit.find(Count, {"rung": 0}))
        if there[0] >= 3:
            raise Conflict("full", REFUSED)
        unit.save(Count(id=f"g{there[0]}"))
        return there[0] + there[1]

    outcomes = await together(store, *(at_most_three for _ in range(5)))
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 2, 4]
    assert await store.reading().count(Count, {}) == 3
    assert len(commits) == 2


async def test_who_asked_for_something_else_need_not_ask_again(store: Store) -> None:
    runs: list[str] = []

    def taking(rung: int) -> Work:
        async def work(unit: Unit) -> int:
            runs.append(f"{rung}")
            found = await unit.find(Count, {"rung": rung, "heard": 0})
            if found:
                found[0].heard = 1
                unit.save(found[0])
            return len(found)

        return work

    async def set_up(unit: Unit) -> None:
        for n in range(6):
            unit.save(Count(id=f"g{n}", rung=n % 3))

    await store.transact(set_up)
    assert await together(store, *(taking(n) for n in (0, 1, 2))) == [2, 2, 2]
    assert sorted(runs) == ["0", "1", "2"]
    runs.clear()
    assert await together(store, *(taking(n) for n in (0, 0, 1, 0))) == [1, 0, 1, 0]
    assert sorted(runs) == ["0", "0", "0", "0", "0", "1"]


async def test_what_went_back_and_forth_in_rounds_is_seen(store: Store) -> None:
    """Each flips a switch that the one before it flipped: what a query finds is as the round before left it."""

    async def flip(unit: Unit) -> int:
        (switch,) = await unit.find(Count, {"order": []}) or await unit.find(Count, {"rung": 7})
        on = await unit.find(Count, {"heard": 1})
        switch.rung, switch.heard = 7, 0 if on else 1
        unit.save(switch)
        return len(on)

    async def set_up(unit: Unit) -> None:
        unit.save(Count(id="switch", rung=7))

    await store.transact(set_up)
    assert await together(store, *(flip for _ in range(5))) == [0, 1, 0, 1, 0]
    assert await heard(store, "switch") == 1


async def test_queries_alike_find_what_each_asked_for(store: Store) -> None:
    def set_up(id: str, rung: int) -> Work:
        async def work(unit: Unit) -> int:
            unit.save(Count(id=id, rung=rung))
            return rung

        return work

    async def of(unit: Unit, id: str) -> list[str]:
        return [each.id for each in await unit.find(Count, {"_id": id, "rung": 1})]

    def asking(id: str) -> Callable[[Unit], Awaitable[list[str]]]:
        return lambda unit: of(unit, id)

    await together(store, set_up("a", 1), set_up("b", 1), set_up("c", 2))
    found = await asyncio.gather(*(store.command(asking(id)) for id in ("x", "a", "b", "a", "c", "d")))
    assert found == [[], ["a"], ["b"], ["a"], [], []]


async def test_one_that_works_on_the_database_by_itself_goes_alone(store: Store, commits: list[int]) -> None:
    async def audited(unit: Unit) -> int:
        await audit(unit, "operator", "looked", at="g")
        return 7

    assert await together(store, adding("a"), audited, adding("b")) == [1, 7, 1]
    assert await store.db["_audit"].count_documents({"by": "operator"}) == 1
    assert commits == [0, 2, 0]


async def test_one_that_asks_for_what_it_has_just_written_finds_it(store: Store) -> None:
    async def looks(unit: Unit) -> int:
        unit.save(Count(id="mine", rung=5))
        return len(await unit.find(Count, {"rung": 5}))

    assert await together(store, adding("a"), looks) == [1, 1]
    assert await heard(store, "a") == 1


@pytest.mark.parametrize("times", [1, 2], ids=["once", "again"])
async def test_another_transaction_in_the_way_costs_nobody_anything(
    store: Store, commits: list[int], times: int
) -> None:
    """Whoever wrote last wins nothing: all of a group go again together, and the next time each alone."""

    async def meddle(unit: Unit) -> int:
        found = await unit.get(Count, "g") or Count(id="g")
        if len(met) < times:
            met.append(1)
            await store.transact(adding("g", 100))
        found.heard += 1
        unit.save(found)
        return found.heard

    met: list[int] = []
    await store.transact(adding("g"))
    commits.clear()
    outcomes = await together(store, adding("a"), meddle, adding("b"))
    assert outcomes == [1, 2 + 100 * times, 1]
    assert (await heard(store, "a"), await heard(store, "b"), await heard(store, "g")) == (1, 1, 2 + 100 * times)
    leader, meddled = [0], [1] * times
    assert sorted(commits) == sorted(leader + meddled + ([2] if times == 1 else [1, 0, 1]))


async def test_an_error_of_one_is_not_the_others(store: Store) -> None:
    async def broken(unit: Unit) -> int:
        unit.save(Count(id="broken"))
        raise RuntimeError("a bug")

    outcomes = await together(store, adding("a"), broken, adding("b"))
    assert isinstance(outcomes[1], RuntimeError)
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert await store.reading().get(Count, "broken") is None


async def test_what_the_database_does_not_take_of_one_is_not_the_others(store: Store) -> None:
    async def too_large(unit: Unit) -> int:
        unit.save(Big(id="huge", bytes_=bytes(17 * 1024 * 1024)))
        return 0

    outcomes = await together(store, adding("a"), too_large, adding("b"))
    assert isinstance(outcomes[1], Exception)
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert (await heard(store, "a"), await heard(store, "b")) == (1, 1)


async def test_each_says_its_events_in_its_own_trace(ledger: Harness, store: Store) -> None:
    tracer = TracerProvider().get_tracer("test")

    async def traced(n: int) -> str:
        with tracer.start_as_current_span(f"command {n}") as span:
            await store.command(adding(f"g{n}"))
            return f"{span.get_span_context().trace_id:032x}"

    traces = await asyncio.gather(*(traced(n) for n in range(6)))
    rows = await store.db["_outbox"].find({}).to_list()
    said = {row["stream"].rpartition(":")[2]: row["headers"]["traceparent"].split("-")[1] for row in rows}
    assert said == {f"g{n}": traces[n] for n in range(6)}
    assert not trace.get_current_span().get_span_context().is_valid


async def test_those_that_commit_together_have_one_moment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not before any of them came: what has ended by then has ended for all."""
    moments: list[datetime] = []
    ticks = count()
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 28, tzinfo=UTC) + timedelta(milliseconds=next(ticks)))

    async def say(unit: Unit) -> int:
        moments.append(unit.now)
        unit.publish(filled("g"))
        return 0

    async def arrives() -> int:
        came.append(clock.now())
        return await store.command(say)

    came: list[datetime] = []
    await together(store, *(lambda unit: say(unit) for _ in range(2)))
    await asyncio.gather(arrives(), arrives(), arrives())
    rows = await store.db["_outbox"].find({}, sort=[("sequence", 1)]).to_list()
    said = [datetime.fromisoformat(row["headers"]["ce_time"]) for row in rows]
    assert said == moments
    assert moments[0] == moments[1]
    assert min(moments[2:]) > max(came)


async def test_a_line_at_one_document_asks_little_more_than_one_alone(
    ledger: Harness, store: Store, commits: list[int]
) -> None:
    """What each of them asks is known after the first; with a limit too, as long as enough are left."""

    def taking(limit: int) -> Work:
        async def work(unit: Unit) -> int:
            free = await unit.find(Count, {"rung": 0, "heard": {"$lt": 1}}, limit=limit)
            if not free:
                raise Conflict("full", REFUSED)
            free[0].heard = 1
            unit.save(free[0])
            return len(free)

        return work

    async def set_up(unit: Unit) -> None:
        for n in range(12):
            unit.save(Count(id=f"g{n:02}"))

    await store.transact(set_up)
    asked: list[str] = []
    usual = Unit.together

    async def asking(unit: Unit, wanted: Any, finds: Any) -> Any:
        asked.extend(find.kind.__name__ for find in finds)
        return await usual(unit, wanted, finds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unit, "together", asking)
        assert await together(store, *(taking(0) for _ in range(4))) == [12, 11, 10, 9]
        assert asked == ["Count"]
        assert await together(store, *(taking(3) for _ in range(4))) == [3, 3, 3, 3]
        assert len(asked) == 1 + 1 + 3  # of three that it wants there may always be another
        outcomes = await together(store, *(taking(5) for _ in range(6)))
        assert outcomes[:4] == [4, 3, 2, 1]
        assert all(isinstance(outcome, Conflict) for outcome in outcomes[4:])
        assert len(asked) == 1 + 4 + 1
        asked.clear()
    assert await store.reading().count(Count, {"heard": 1}) == 12
    assert len(commits) == 1 + 6


async def test_what_members_ask_at_the_same_time_is_one_command(store: Store) -> None:
    """By ids and by queries, of one member or of several; and alone it is one after the other."""
    commands: list[str] = []

    async def set_up(unit: Unit) -> None:
        for n in range(4):
            unit.save(Count(id=f"g{n}", rung=n))

    async def asks(unit: Unit) -> int:
        one, above, first = await at_once(
            unit.get(Count, "g1"),
            unit.find(Count, {"rung": {"$gte": 2}}),
            unit.find(Count, {}, sort=[("rung", -1)], skip=1, limit=1),
        )
        assert one
        return 100 * one.rung + 10 * len(above) + first[0].rung

    async def asks_alone(unit: Unit) -> int:
        assert unit.db is not None  # which a member has not
        return await asks(unit)

    usual = AsyncCollection.aggregate

    async def aggregate(collection: Any, *args: Any, **options: Any) -> Any:
        commands.append(collection.name)
        return await usual(collection, *args, **options)

    await store.transact(set_up)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncCollection, "aggregate", aggregate)
        assert await together(store, asks, asks, asks) == [122, 122, 122]
        assert commands == [ANCHOR]
        assert await together(store, asks, asks_alone) == [122, 122]


async def test_reads_at_once_have_all_ended_when_one_of_them_fails(store: Store) -> None:
    ended: list[str] = []

    async def fails() -> int:
        raise LookupError("a damaged record")

    async def reads(unit: Unit) -> None:
        await unit.find(Count, {"rung": 1})
        ended.append("read")

    async def work(unit: Unit) -> None:
        await at_once(fails(), reads(unit), reads(unit))

    with pytest.raises(LookupError):
        await store.transact(work)
    assert ended == ["read", "read"]


@pytest.mark.parametrize("many", [2, 2 * FEW])
async def test_a_transaction_does_one_thing_at_a_time_whatever_is_asked_at_once(store: Store, many: int) -> None:
    """Also where so many documents are asked for that they are a question of their own."""
    going: list[int] = [0]
    most: list[int] = []

    def counted(usual: Any) -> Any:
        async def call(*args: Any) -> Any:
            going[0] += 1
            most.append(going[0])
            try:
                return await usual(*args)
            finally:
                going[0] -= 1

        return call

    async def work(unit: Unit) -> int:
        ids = [f"g{n}" for n in range(many)]
        _, found, _ = await at_once(
            unit.load(Count, ids), unit.find(Count, {"rung": 1}), unit.aggregate(Count, [{"$match": {"rung": 2}}])
        )
        return len(found)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_under", "ask", "_found"):
            patch.setattr(Unit, name, counted(getattr(Unit, name)))
        assert await store.transact(work) == 0
    assert set(most) == {1}


async def test_members_stay_in_step_whatever_they_do_between_their_questions(store: Store) -> None:
    """One of them is slow, one refuses, one asks for more than the others: each step is one command for all."""
    commands: list[str] = []

    def asks(n: int) -> Work:
        async def work(unit: Unit) -> int:
            for step in range(2 + (n == 3)):
                for _ in range(7 * n):
                    await asyncio.sleep(0)
                if n == 2:
                    await asyncio.sleep(0.05)
                await unit.get(Count, f"{n}.{step}")
                if n == 1:
                    raise Conflict("refused-here", REFUSED)
            return n

        return work

    usual = Unit.together

    async def asking(unit: Unit, wanted: Any, finds: Any) -> Any:
        commands.extend("+".join(sorted(ids)) for ids in wanted.values())
        return await usual(unit, wanted, finds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unit, "together", asking)
        outcomes = await together(store, *map(asks, range(4)))
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 2, 3]
    assert commands == ["0.0+1.0+2.0+3.0", "0.1+2.1+3.1", "3.2"]


VALUES: list[Any] = [None, 0, 1, 2.5, True, False, "a", "b", [], ["a"], [1, 2], datetime(2026, 11, 28, tzinfo=UTC)]
WANTED: list[Any] = [
    *VALUES,
    *({operator: value} for operator in ("$gt", "$gte", "$lt", "$lte", "$ne") for value in VALUES),
    *({"$in": among} for among in ([], [1, "a"], [None], ["b", True, [1, 2]], [re.compile("a")])),
    {"$gt": 0, "$lt": 2},
    {"$gte": "a", "$ne": "b"},
    re.compile("^a"),
    {"$exists": True},
]


async def test_what_a_row_meets_is_what_mongodb_finds(store: Store) -> None:
    """Of each value and each query: where it is known here, MongoDB says the same; and mostly it is known."""
    rows = [{"_id": str(n)} | ({} if n == len(VALUES) else {"x": VALUES[n]}) for n in range(len(VALUES) + 1)]
    await store.db["meets"].insert_many(rows)
    known = 0
    for wanted in WANTED:
        found = {row["_id"] async for row in store.db["meets"].find({"x": wanted})}
        for row in rows:
            met = meets(row, {"x": wanted})
            known += met is not None
            assert met in (None, row["_id"] in found), (row, wanted)
    assert known > 0.5 * len(rows) * len(WANTED)
    assert meets({"x": 1}, {"$or": []}) is meets({"x": 1}, {"x.y": 1}) is None
    assert meets({"x": 1}, {"x.y": 1, "x": 2}) is False
