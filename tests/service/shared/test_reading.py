"""Documents of several kinds are read with one question: by a unit of its own, by a batch, and by commands together."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import ValidationError

from shared import unit as units
from shared.sealed import PersonKey
from shared.testing import Harness
from shared.unit import ANCHOR, Question, Rows, Unit, under
from tests.ledger import Count, filled

Asked = list[list[str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The collections of each question that was asked."""
    seen: Asked = []
    real: Callable[..., Awaitable[list[Rows]]] = Unit.ask

    async def ask(self: Unit, *questions: Question) -> list[Rows]:
        seen.append([name for name, _ in questions])
        return await real(self, *questions)

    monkeypatch.setattr(Unit, "ask", ask)
    return seen


async def put(ledger: Harness, *ids: str) -> None:
    async def save(unit: Unit) -> None:
        for id in ids:
            unit.save(Count(id=id, heard=len(id)))
            unit.save(PersonKey(id=id, wrapped=b"key"))

    await ledger.runtime.store.transact(save)


async def test_what_is_there_and_what_is_not_is_at_hand_after_one_question(ledger: Harness, asked: Asked) -> None:
    await put(ledger, "a", "bb")

    async def look(unit: Unit) -> None:
        await unit.load_each({Count: ["a", "bb", "none"], PersonKey: ["a"]})
        asked.append(["then"])
        found = [await unit.get(Count, id) for id in ("a", "bb", "none")]
        key = await unit.get(PersonKey, "a")
        assert [each.heard if each else None for each in found] == [1, 2, None]
        assert key is not None
        assert key.wrapped == b"key"

    await ledger.runtime.store.transact(look)
    assert asked == [["counts", "_keys"], ["then"]]


async def test_what_a_unit_changed_is_not_read_over(ledger: Harness) -> None:
    await put(ledger, "a")

    async def change(unit: Unit) -> None:
        count = await unit.get(Count, "a")
        assert count is not None
        count.heard = 7
        unit.save(count)
        await unit.load_each({Count: ["a", "b"], PersonKey: ["a"]})
        assert await unit.get(Count, "a") is count

    await ledger.runtime.store.transact(change)
    (kept,) = await ledger.all(Count)
    assert kept.heard == 7


async def test_a_row_that_is_no_document_fails_only_who_needs_it(ledger: Harness) -> None:
    await put(ledger, "a", "b")
    await ledger.runtime.store.db["counts"].update_one({"_id": "a"}, {"$set": {"heard": "many"}})
    unit = ledger.runtime.store.reading()
    await unit.load_each({Count: ["a", "b"], PersonKey: ["a"]})
    assert await unit.get(Count, "b") is not None
    for _ in range(2):
        with pytest.raises(ValidationError, match="heard"):
            await unit.get(Count, "a")


async def test_of_many_each_kind_is_a_question_of_its_own(
    ledger: Harness, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "FEW", 2)
    await put(ledger, "a", "b")
    unit = ledger.runtime.store.reading()
    await unit.load_each({Count: ["a", "b"], PersonKey: ["a"]})
    assert await unit.get(Count, "b") is not None
    assert await unit.get(PersonKey, "a") is not None
    assert asked == []


async def test_a_database_without_its_anchor_answers_too(ledger: Harness) -> None:
    await put(ledger, "a")
    anchor = ledger.runtime.store.db[ANCHOR]
    await anchor.delete_many({})
    try:
        found = await ledger.runtime.store.reading().ask(under(Count, ["a"]), under(PersonKey, ["a", "b"]))
    finally:
        await anchor.insert_one({"_id": 1})
    assert [[row["_id"] for row in rows] for rows in found] == [["a"], ["a"]]


async def test_a_batch_asks_once_for_what_was_heard_what_waits_and_what_it_needs(ledger: Harness, asked: Asked) -> None:
    await ledger.receives(filled("a"), filled("b"))
    assert asked == [["_inbox", "_blocked", "counts"]]


async def test_commands_that_ask_for_different_kinds_together_are_one_question(ledger: Harness, asked: Asked) -> None:
    await put(ledger, "a", "b")

    async def count(unit: Unit) -> int:
        found = await unit.get(Count, "a")
        return found.heard if found else 0

    async def key(unit: Unit) -> bytes | None:
        found = await unit.get(PersonKey, "b")
        return found.wrapped if found else None

    first = asyncio.create_task(ledger.runtime.store.command(count))
    others = [asyncio.create_task(ledger.runtime.store.command(each)) for each in (count, key)]
    assert await first == 1
    assert [await other for other in others] == [1, b"key"]
    assert ["counts", "_keys"] in asked
