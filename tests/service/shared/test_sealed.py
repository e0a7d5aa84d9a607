"""A key for each person: what it seals, who opens it, and that nothing does once it is destroyed."""

import asyncio
from functools import partial
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from shared.problems import Problem
from shared.sealed import PersonalSealer, PersonKey, Sealer, Shredded, erased, shred
from shared.testing import Harness
from shared.unit import Unit

pytestmark = pytest.mark.feature("F37")

WORDS = "甲一百二十三"


def people(ledger: Harness, unit: Unit) -> PersonalSealer:
    return PersonalSealer(ledger.runtime.sealer, unit)


async def seal(ledger: Harness, of: str = "w1", words: str = WORDS, field: str = "name") -> bytes:
    async def work(unit: Unit) -> bytes:
        return await people(ledger, unit).seal(words, of=of, field=field)

    return await ledger.runtime.store.transact(work)


async def opened(ledger: Harness, sealed: bytes, *, of: str = "w1", field: str = "name") -> str:
    return await people(ledger, ledger.reading()).open(sealed, of=of, field=field)


async def forget(ledger: Harness, person: str = "w1") -> None:
    await ledger.runtime.store.transact(partial(shred, person_id=person))


async def keys(ledger: Harness) -> list[dict[str, Any]]:
    return await ledger.runtime.store.db["_keys"].find({}, sort=[("_id", 1)]).to_list()


async def test_what_is_sealed_opens_for_its_person_and_field_only(ledger: Harness) -> None:
    sealed, _ = await seal(ledger), await seal(ledger, of="w2")
    assert WORDS.encode() not in sealed
    assert await opened(ledger, sealed) == WORDS
    for wrong in ({"of": "w2"}, {"field": "phone"}, {"of": "nobody"}):
        with pytest.raises(InvalidTag):
            await opened(ledger, sealed, **wrong)
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(InvalidTag):
        await opened(ledger, altered)


async def test_a_person_has_one_key_however_many_seal_at_once(ledger: Harness) -> None:
    sealed = await asyncio.gather(*(seal(ledger) for _ in range(10)))
    assert len(await keys(ledger)) == 1
    assert [await opened(ledger, each) for each in sealed] == [WORDS] * 10
    assert len(set(sealed)) == 10


async def test_a_key_in_the_database_is_of_no_use_without_the_services_secret(ledger: Harness) -> None:
    await seal(ledger)
    (row,) = await keys(ledger)
    other = ledger.runtime.settings.model_copy(update={"secret": type(ledger.runtime.settings.secret)("A" * 44)})
    with pytest.raises(InvalidTag):
        Sealer(other, "ledger").open(row["wrapped"], subject="w1", field="key")
    with pytest.raises(InvalidTag):
        Sealer(ledger.runtime.settings, "workers").open(row["wrapped"], subject="w1", field="key")


async def test_nothing_opens_what_a_destroyed_key_had_sealed_not_even_a_copy_of_it(ledger: Harness) -> None:
    sealed, theirs = await seal(ledger), await seal(ledger, of="w2")
    (before, _) = await keys(ledger)
    await forget(ledger)
    with pytest.raises(Shredded):
        await opened(ledger, sealed)
    assert await people(ledger, ledger.reading()).opened(sealed, of="w1", field="name") is None
    assert await opened(ledger, theirs, of="w2") == WORDS
    assert await erased(ledger.reading(), "w1")
    assert not await erased(ledger.reading(), "w2")
    (after, _) = await keys(ledger)
    assert (after["wrapped"], after["destroyed_at"] is not None) == (None, True)
    # It is the key that hides it, and nothing else: where it was not destroyed, the same bytes open.
    await ledger.runtime.store.db["_keys"].replace_one({"_id": "w1"}, before)
    assert await opened(ledger, sealed) == WORDS


async def test_nothing_is_sealed_for_who_was_erased_and_erasing_again_changes_nothing(ledger: Harness) -> None:
    await seal(ledger)
    await forget(ledger)
    first = await keys(ledger)
    await forget(ledger)
    assert await keys(ledger) == first
    with pytest.raises(Problem) as refused:
        await seal(ledger)
    assert (refused.value.status, refused.value.code) == (410, "account-erased")
    await forget(ledger, "never-heard-of")
    assert await erased(ledger.reading(), "never-heard-of")


async def test_a_seal_and_an_erasure_at_one_moment_leave_nothing_that_opens(ledger: Harness) -> None:
    """Whichever comes first: the value is sealed with the key that is destroyed, or refused."""
    sealed, _ = await asyncio.gather(seal(ledger), forget(ledger), return_exceptions=True)
    assert await erased(ledger.reading(), "w1")
    if isinstance(sealed, bytes):
        with pytest.raises(Shredded):
            await opened(ledger, sealed)
    else:
        assert isinstance(sealed, Problem)


async def test_what_was_sealed_before_people_had_keys_opens_until_they_are_erased(ledger: Harness) -> None:
    before = ledger.runtime.sealer.seal(WORDS, subject="w1", field="name")
    assert await opened(ledger, before) == WORDS
    await seal(ledger)
    assert await opened(ledger, before) == WORDS
    await forget(ledger)
    with pytest.raises(Shredded):
        await opened(ledger, before)


async def test_whose_account_was_erased_is_nobody_to_the_service_any_more(ledger: Harness) -> None:
    """At once, though the token would be good for some minutes; an answer kept for a repeated command too."""
    headers = ledger.as_("worker", "w1", **{"idempotency-key": "k"})
    entry = {"id": "g1", "amount": 1}
    assert (await ledger.http.post("/entries", json=entry, headers=headers)).status_code == 201
    (kept,) = await ledger.runtime.store.db["_answers"].find().to_list()
    assert kept["body"].startswith(b"kz1:answer:")
    await forget(ledger)
    for same in (headers, ledger.as_("worker", "w1")):
        refused = await ledger.http.post("/entries", json=entry, headers=same)
        assert (refused.status_code, refused.json()["code"]) == (401, "account-erased")
    other = await ledger.http.post("/entries", json=entry, headers=ledger.as_("worker", "w2"))
    assert other.status_code == 201


async def test_keys_are_loaded_together(ledger: Harness) -> None:
    for person in ("w1", "w2", "w3"):
        await seal(ledger, of=person)
    unit = ledger.reading()
    await people(ledger, unit).load(["w1", "w2", "w3", "w4"])
    await ledger.runtime.store.db["_keys"].delete_many({})
    assert [await unit.get(PersonKey, id) is not None for id in ("w1", "w2", "w3", "w4")] == [True] * 3 + [False]
