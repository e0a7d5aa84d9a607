"""Letters set aside are handled later as if nothing had been: in order, once, with their trace in the audit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared import delivery as delivery_module
from shared.contracts.posting import GigFilled, GigReopened
from shared.delivery import Aside, Letter, NoSuchLetter
from shared.testing import Harness
from shared.unit import Unit
from tests.ledger import Count, Mood, filled, react

pytestmark = pytest.mark.feature("F13")

TOPIC = "posting.gig"


async def order(ledger: Harness, gig: str) -> list[int]:
    found = await ledger.get(Count, gig)
    return found.order if found else []


async def kinds(ledger: Harness) -> list[str]:
    return [row["kind"] for row in sorted(await ledger.dead(), key=lambda row: row["offset"])]


async def first_of(ledger: Harness, gig: str) -> str:
    """The id of a gig's first letter that was set aside."""
    rows = [row for row in await ledger.dead() if row["headers"]["ce_subject"] == gig]
    return str(min(rows, key=lambda row: row["offset"])["_id"])


async def audit(ledger: Harness) -> list[dict[str, Any]]:
    return await ledger.runtime.store.db["_audit"].find({}, sort=[("_id", 1)]).to_list()


async def blocked(ledger: Harness) -> set[str]:
    return {row["_id"] async for row in ledger.runtime.store.db["_blocked"].find({})}


async def fail(ledger: Harness, gig: str, *placed: int) -> str:
    """Events of a gig of which the first fails and the others wait; then the cause is mended. Returns the first id."""
    Mood.fails = {gig}
    await ledger.receives(*(filled(gig, n) for n in placed))
    Mood.reset()
    return await first_of(ledger, gig)


async def test_a_stream_is_redriven_in_the_order_of_the_log(ledger: Harness) -> None:
    id = await fail(ledger, "bad", 1, 2)
    await ledger.receives(filled("bad", 3), filled("good"))
    assert await kinds(ledger) == ["failed", "parked", "parked"]
    redriven = await ledger.runtime.delivery.redrive(id, by="ann")
    assert (len(redriven.done), redriven.left) == (3, {})
    assert await order(ledger, "bad") == [1, 2, 3]
    assert (await ledger.dead(), await blocked(ledger)) == ([], set())
    await ledger.receives(filled("bad", 4))
    assert await order(ledger, "bad") == [1, 2, 3, 4]
    assert [said.placed for said in await ledger.published(GigReopened) if said.gig_id == "bad"] == [1, 2, 3, 4]


async def test_a_redrive_that_is_asked_of_a_waiting_letter_begins_with_the_first(ledger: Harness) -> None:
    await fail(ledger, "bad", 1, 2, 3)
    last = max(await ledger.dead(), key=lambda row: row["offset"])["_id"]
    await ledger.runtime.delivery.redrive(last, by="ann")
    assert await order(ledger, "bad") == [1, 2, 3]


async def test_what_fails_again_stays_and_keeps_the_others_behind_it(ledger: Harness) -> None:
    id = await fail(ledger, "bad", 1, 2)
    Mood.fails = {"bad"}
    redriven = await ledger.runtime.delivery.redrive(id, by="ann")
    assert redriven.done == []
    assert next(iter(redriven.left.values())).startswith("RuntimeError at ledger.py:")
    assert await kinds(ledger) == ["failed", "parked"]
    Mood.fails, Mood.refuses = set(), {"bad"}
    redriven = await ledger.runtime.delivery.redrive(id, by="ann")
    assert set(redriven.left.values()) == {"refused-here: Refused."}
    assert await kinds(ledger) == ["refused", "refused"]
    assert await blocked(ledger) == set()
    Mood.reset()
    await ledger.receives(filled("bad", 3))
    assert await order(ledger, "bad") == [3]


async def test_a_refused_letter_is_redriven_by_itself(ledger: Harness) -> None:
    Mood.refuses = {"bad"}
    await ledger.receives(filled("bad", 1))
    Mood.reset()
    refused = await first_of(ledger, "bad")
    await fail(ledger, "bad", 2, 3)
    await ledger.runtime.delivery.redrive(refused, by="ann")
    assert await order(ledger, "bad") == [1]
    assert await kinds(ledger) == ["failed", "parked"]


async def test_an_unreadable_letter_is_redriven_once_a_release_can_read_it(
    ledger: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.delitem(react.kinds, GigFilled.type)
        before.setattr(delivery_module, "CATALOGUE", {})
        await ledger.receives(filled("g"))
    assert await kinds(ledger) == ["unreadable"]
    await ledger.runtime.delivery.redrive(await first_of(ledger, "g"), by="ann")
    assert await order(ledger, "g") == [1]
    assert await ledger.dead() == []


async def test_an_unreadable_letter_behind_a_failed_one_keeps_its_place(ledger: Harness) -> None:
    headers = {"ce_id": "torn", "ce_type": GigFilled.type, "ce_subject": "bad"}
    id = await fail(ledger, "bad", 1)
    await ledger.receives_letters(ledger.letter(TOPIC, b"{", **headers), topic=TOPIC)
    await ledger.receives(filled("bad", 2))
    assert await kinds(ledger) == ["failed", "unreadable", "parked"]
    redriven = await ledger.runtime.delivery.redrive(id, by="ann")
    assert list(redriven.left) == ["torn"]
    assert await order(ledger, "bad") == [1, 2]
    assert await kinds(ledger) == ["unreadable"]


async def test_a_dropped_letter_lets_those_behind_it_go_on(ledger: Harness) -> None:
    id = await fail(ledger, "bad", 1, 2, 3)
    redriven = await ledger.runtime.delivery.drop(id, by="ann")
    assert len(redriven.done) == 2
    assert await order(ledger, "bad") == [2, 3]
    assert (await ledger.dead(), await blocked(ledger)) == ([], set())
    await ledger.receives(filled("bad", 1), id=id)
    assert await order(ledger, "bad") == [2, 3], "a dropped event came back"


async def test_a_waiting_letter_that_is_dropped_moves_nobody(ledger: Harness) -> None:
    await fail(ledger, "bad", 1, 2, 3)
    middle = sorted(await ledger.dead(), key=lambda row: row["offset"])[1]["_id"]
    assert (await ledger.runtime.delivery.drop(middle, by="ann")).done == []
    assert await kinds(ledger) == ["failed", "parked"]


async def test_dropping_an_unreadable_letter_says_nothing_of_its_id(ledger: Harness) -> None:
    headers = {"ce_id": "the-id", "ce_type": GigFilled.type, "ce_subject": "g"}
    await ledger.receives_letters(ledger.letter(TOPIC, b"{", **headers), topic=TOPIC)
    await ledger.runtime.delivery.drop("the-id", by="ann")
    await ledger.receives(filled("g"), id="the-id")
    assert await order(ledger, "g") == [1]


async def test_who_did_what_is_kept(ledger: Harness) -> None:
    id = await fail(ledger, "bad", 1, 2)
    parked = max(await ledger.dead(), key=lambda row: row["offset"])["_id"]
    Mood.fails = {"bad"}
    await ledger.runtime.delivery.redrive(id, by="ann")
    Mood.reset()
    await ledger.runtime.delivery.drop(id, by="ben")
    first, second, third = await audit(ledger)
    assert [(row["by"], row["what"], row["letters"]) for row in (first, second, third)] == [
        ("ann", "redrive", [id, parked]),
        ("ben", "drop", [id]),
        ("ben", "redrive", [parked]),
    ]
    assert [(left["letter"], left["kind"]) for left in first["left"]] == [(id, "failed"), (parked, "parked")]
    assert (second["kind"], third["left"]) == ("failed", [])
    assert third["at"] == ledger.clock.now


async def test_a_letter_that_is_not_there_is_said(ledger: Harness) -> None:
    for act in (ledger.runtime.delivery.redrive, ledger.runtime.delivery.drop):
        with pytest.raises(NoSuchLetter):
            await act("nothing", by="ann")
    assert await audit(ledger) == []


async def test_a_letter_handled_meanwhile_is_not_handled_again(ledger: Harness) -> None:
    """A refused event that stands twice in the log: the second time it went through."""
    Mood.refuses = {"bad"}
    await ledger.receives(filled("bad", 1), id="twice")
    Mood.reset()
    await ledger.receives(filled("bad", 1), id="twice")
    await ledger.runtime.delivery.redrive("twice", by="ann")
    assert await order(ledger, "bad") == [1]
    assert await ledger.dead() == []


async def test_a_long_row_goes_in_several_transactions(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "REDRIVEN_AT_ONCE", 7)
    id = await fail(ledger, "bad", *range(20))
    await ledger.runtime.delivery.redrive(id, by="ann")
    assert await order(ledger, "bad") == list(range(20))
    assert [len(row["letters"]) for row in await audit(ledger)] == [7, 7, 6]


async def test_what_breaks_the_commit_is_found_and_those_before_it_are_done(ledger: Harness) -> None:
    await ledger.receives(filled("huge", 1))
    for n in (2, 3):
        await ledger.receives(filled("huge", n))
    id = await first_of(ledger, "huge")
    redriven = await ledger.runtime.delivery.redrive(id, by="ann")
    assert redriven.done == []
    assert await kinds(ledger) == ["failed", "parked", "parked"]


async def test_two_redrives_at_once_act_once(ledger: Harness) -> None:
    id = await fail(ledger, "bad", 1, 2, 3)
    done = await asyncio.gather(
        *(ledger.runtime.delivery.redrive(id, by=by) for by in ("ann", "ben", "cat")), return_exceptions=True
    )
    assert await order(ledger, "bad") == [1, 2, 3]
    assert sum(len(each.done) for each in done if not isinstance(each, BaseException)) == 3
    assert {type(each) for each in done if isinstance(each, BaseException)} <= {NoSuchLetter}


# --- a letter that is parked while its stream is released ------------------------------------------------------------


async def test_a_letter_is_parked_before_the_release_commits(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release found nobody waiting, and is run again."""
    id = await fail(ledger, "bad", 1)
    release, tries = ledger.runtime.delivery._release, 0

    async def late(unit: Unit, stream: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await ledger.receives(filled("bad", 2))
        await release(unit, stream)

    monkeypatch.setattr(ledger.runtime.delivery, "_release", late)
    await ledger.runtime.delivery.drop(id, by="ann")
    assert tries > 1
    await ledger.receives(filled("bad", 3))
    assert await order(ledger, "bad") == [2, 3]
    assert (await ledger.dead(), await blocked(ledger)) == ([], set())


async def release_while_parking(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> int:
    """Event 1 is redriven when event 2 has seen its stream blocked and is not parked yet; returns how often it tried.

    Then event 3 comes.
    """
    id = await fail(ledger, "bad", 1)
    set_aside, tries = ledger.runtime.delivery._set_aside, 0

    async def late(unit: Unit, aside: Sequence[tuple[Letter, Aside]]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await ledger.runtime.delivery.redrive(id, by="ann")
        await set_aside(unit, aside)

    with monkeypatch.context() as patched:
        patched.setattr(ledger.runtime.delivery, "_set_aside", late)
        await ledger.receives(filled("bad", 2))
    await ledger.receives(filled("bad", 3))
    return tries


async def test_a_letter_is_parked_after_the_release_commits(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parking meets the release at the note of the stream, is run again, and finds that nothing waits."""
    assert await release_while_parking(ledger, monkeypatch) == 2
    assert await order(ledger, "bad") == [1, 2, 3]
    assert (await ledger.dead(), await blocked(ledger)) == ([], set())


async def test_without_the_note_of_the_stream_a_letter_would_be_left_behind(
    ledger: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = ledger.runtime.delivery._block

    async def only_the_first(unit: Unit, streams: Mapping[str, int]) -> None:
        if not await unit.db["_blocked"].find_one({}, session=unit.session):
            await block(unit, streams)

    monkeypatch.setattr(ledger.runtime.delivery, "_block", only_the_first)
    assert await release_while_parking(ledger, monkeypatch) == 1
    assert await order(ledger, "bad") == [1, 3]
    assert await kinds(ledger) == ["parked"]


async def test_a_reason_names_our_line_and_not_a_librarys(ledger: Harness) -> None:
    await ledger.runtime.store.db["counts"].insert_one({"_id": "bad", "version": 1, "heard": "many"})
    await ledger.receives(filled("bad"))
    (row,) = await ledger.dead()
    assert row["reason"].startswith("ValidationError at unit.py:")
