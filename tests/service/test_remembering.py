"""After a restore a service takes back what it said and no longer knows, where forgetting would do harm."""

from typing import Any

import pytest

from ops.restore import Word, _paired
from services.identity.store import Account
from services.matching.store import Commitments, Offer, Placement, Seat
from services.notify.store import Delivery
from shared.contracts import Event
from shared.contracts.identity import AccountErased
from shared.contracts.matching import OfferMade, PlacementCancelled, PlacementMade
from shared.contracts.notify import DeliveryMade
from shared.delivery import Letter
from shared.replay import EPOCH
from shared.sealed import PersonKey
from shared.testing import Harness
from shared.unit import Unit
from tests.service.identity.conftest import Provider, nothing_counted, signed_in, sms  # noqa: F401 - fixtures
from tests.service.matching.kit import checked_in, posted, run
from tests.service.notify.conftest import sender, sink  # noqa: F401 - fixtures
from tests.service.notify.sink import Sink
from tests.service.notify.story import reach, said, send

# ruff: noqa: F811 - fixtures


async def remember(harness: Harness, *events: Event) -> None:
    for event in events:
        handler = harness.runtime.service.reactions.remembered[event.type]

        async def work(unit: Unit, event: Event = event, handler: Any = handler) -> None:
            await handler(event, unit)

        await harness.runtime.store.transact(work)


async def forgets(harness: Harness, *events: Event) -> None:
    """It is as a restored database is: what it heard is heard again, what it did by itself is not there."""
    for name in await harness.runtime.store.db.list_collection_names():
        await harness.runtime.store.db[name].delete_many({})
    await harness.receives(*events)


async def placed(matching: Harness) -> tuple[list[Event], PlacementMade]:
    heard = [posted(), checked_in("worker-1", accepts_automatically=True)]
    await matching.receives(*heard)
    assert (await run(matching)).placements == 1
    (made,) = await matching.published(PlacementMade)
    return heard, made


async def test_a_seat_is_not_filled_twice(matching: Harness) -> None:
    heard, made = await placed(matching)
    before = (await matching.all(Seat))[0], (await matching.all(Commitments))[0].periods
    await forgets(matching, *heard)
    assert [seat.open for seat in await matching.all(Seat)] == [True]
    await remember(matching, made)
    await remember(matching, made)
    (seat,), (placement,) = await matching.all(Seat), await matching.all(Placement)
    assert (seat.open, seat.placement_id) == (False, before[0].placement_id)
    assert (placement.id, placement.status, placement.terms) == (made.placement_id, "placed", made.terms)
    assert (await matching.all(Commitments))[0].periods == before[1]
    await matching.receives(checked_in("worker-2", accepts_automatically=True))
    assert (await run(matching)).placements == 0
    assert await matching.published() == []


async def test_a_seat_that_was_given_back_is_free(matching: Harness) -> None:
    heard, made = await placed(matching)
    path = f"/placements/{made.placement_id}/cancel"
    answer = await matching.http.post(path, headers=matching.as_("worker", "worker-1"))
    assert answer.status_code == 200
    (cancelled,) = await matching.published(PlacementCancelled)
    await forgets(matching, *heard)
    await remember(matching, made, cancelled, cancelled)
    (seat,), (placement,) = await matching.all(Seat), await matching.all(Placement)
    assert (seat.open, placement.status, placement.cancelled_by) == (True, "cancelled", "worker")
    assert (await matching.all(Commitments))[0].periods == []


async def test_an_offer_that_was_accepted_does_not_stay_open_nor_is_one_that_was_given_back_made_again(
    matching: Harness,
) -> None:
    heard = [posted(), checked_in("worker-1")]
    await matching.receives(*heard)
    await run(matching)
    (offer,) = await matching.all(Offer)
    await matching.runtime.store.db["keep"].insert_one((await matching.runtime.store.db["offers"].find_one({})) or {})
    answer = await matching.http.post(f"/offers/{offer.id}/accept", headers=matching.as_("worker", "worker-1"))
    assert answer.status_code == 200, answer.text
    (made,) = await matching.published(PlacementMade)
    path = f"/placements/{made.placement_id}/cancel"
    assert (await matching.http.post(path, headers=matching.as_("worker", "worker-1"))).status_code == 200
    (cancelled,) = await matching.published(PlacementCancelled)
    kept = await matching.runtime.store.db["keep"].find_one({}) or {}
    await forgets(matching, *heard)
    await matching.runtime.store.db["offers"].insert_one(kept)
    await remember(matching, made)
    (offer,) = await matching.all(Offer)
    assert (offer.open, offer.ended, offer.refused) == (False, "accepted", False)
    (placement,) = await matching.all(Placement)
    assert placement.checked_in_at == offer.checked_in_at
    await remember(matching, cancelled)
    (offer,) = await matching.all(Offer)
    assert offer.refused
    assert (await run(matching)).offers == 0


async def test_a_phone_does_not_ring_twice(notify: Harness, sender: Any, sink: Sink) -> None:
    offer = said(OfferMade, expires_at="2027-01-01T00:00:00Z")
    await reach(notify, offer.worker_id)
    await notify.receives(offer)
    assert await send(sender) == 1
    (made,) = await notify.published(DeliveryMade)
    contacts = await notify.runtime.store.db["contacts"].find({}).to_list()
    keys = await notify.runtime.store.db["_keys"].find({}).to_list()
    await forgets(notify)
    await notify.runtime.store.db["contacts"].insert_many(contacts)
    await notify.runtime.store.db["_keys"].insert_many(keys)
    await notify.receives(offer)
    assert [delivery.state for delivery in await notify.all(Delivery)] == ["waiting"], "else it would ring again"
    await remember(notify, made)
    assert await send(sender) == 0
    assert [delivery.state for delivery in await notify.all(Delivery)] == ["made"]
    assert len(sink.asked) == 1


async def test_who_was_erased_is_erased_again(identity: Harness, sms: Provider) -> None:
    """The backup is from before, and so are the keys that came with it."""
    person = (await signed_in(identity, sms))["account_id"]
    await remember(identity, AccountErased(account_id=person, role="worker", at=identity.clock.now))
    key = await identity.get(PersonKey, person)
    assert key
    assert key.wrapped is None
    account = await identity.get(Account, person)
    assert account is None or account.phone is None
    # What it says anew is the event that stands in the log: `restore` pairs the two.
    (again,) = await identity.published(AccountErased)
    assert again.account_id == person


def word(type_: str, number: int) -> Word:
    letter = Letter("t", 0, number, b"", {"ce_id": f"said-{number}"}, b"")
    return Word(EPOCH, "t:a", number, type_, letter)


def row(type_: str, id: str) -> dict[str, Any]:
    return {"_id": id, "headers": {"ce_type": type_}}


@pytest.mark.parametrize(
    ("made", "spoken", "pairs", "new", "left"),
    [
        (["a", "b"], ["a", "b"], [("r0", 0), ("r1", 1)], [], []),
        (["a", "a"], ["a"], [("r0", 0)], ["r1"], []),
        (["b"], ["a", "b"], [("r0", 1)], [], [0]),
        ([], ["a"], [], [], [0]),
        (["c"], [], [], ["r0"], []),
    ],
)
def test_the_nth_of_a_type_is_the_nth_that_was_said(
    made: list[str], spoken: list[str], pairs: list[tuple[str, int]], new: list[str], left: list[int]
) -> None:
    rows = [row(type_, f"r{n}") for n, type_ in enumerate(made)]
    found = _paired(rows, [word(type_, n) for n, type_ in enumerate(spoken)])
    assert [(row["_id"], word.number) for row, word in found[0]] == pairs
    assert [row["_id"] for row in found[1]] == new
    assert [word.number for word in found[2]] == left
