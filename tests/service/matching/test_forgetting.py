"""An account is erased: the market lets the person go, ends what is open with them, and keeps ids for their time."""

import pytest

from services.matching.store import Block, Commitments, Offer, Placement, Profile, Seat, Waiting
from shared.contracts.identity import AccountErased
from shared.contracts.matching import OfferExpired, PlacementCancelled
from shared.contracts.workers import PairBlocked, WorkerChanged, WorkerRegistered
from shared.testing import Harness
from tests.service.matching.kit import FURONG, accept, checked_in, offered, posted, profile, run

pytestmark = pytest.mark.feature("F37")

BLOCK = PairBlocked(block_id="b1", worker_id="worker-1", employer_id="employer-9", until=None)


def erased(matching: Harness, account_id: str = "worker-1", role: str = "worker") -> AccountErased:
    return AccountErased.model_validate({"account_id": account_id, "role": role, "at": matching.clock.now})


async def test_an_open_offer_ends_and_goes_to_somebody_else(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.receives(BLOCK, erased(matching))
    (expired,) = await matching.published(OfferExpired)
    assert (expired.offer_id, expired.reason) == (offer.id, "gone")
    assert [await matching.all(kind) for kind in (Waiting, Profile, Commitments, Block)] == [[], [], [], []]
    await matching.receives(checked_in("worker-2"))
    await run(matching)
    assert [offer.worker_id for offer in await matching.all(Offer) if offer.open] == ["worker-2"]


@pytest.mark.parametrize(("who", "role"), [("worker-1", "worker"), ("employer-1", "employer")])
async def test_a_placement_made_meanwhile_is_undone(matching: Harness, who: str, role: str) -> None:
    """Identity had not heard of it when it said that the account was erased."""
    offer = await offered(matching)
    assert (await accept(matching, offer)).status_code == 200
    await matching.receives(erased(matching, who, role))
    (cancelled,) = await matching.published(PlacementCancelled)
    assert (cancelled.by, cancelled.reason) == ("market", "erased")
    (seat,) = await matching.all(Seat)
    assert seat.open


async def test_what_comes_again_or_late_brings_nobody_back(matching: Harness) -> None:
    await matching.receives(erased(matching))
    await matching.receives(
        checked_in(),
        WorkerRegistered(worker_id="worker-1", district=FURONG, profile=profile()),
        WorkerChanged(worker_id="worker-1", district=FURONG, profile=profile(revision=2)),
        BLOCK,
        posted(),
    )
    await run(matching)
    assert [await matching.all(kind) for kind in (Waiting, Profile, Commitments, Block, Offer)] == [[]] * 5
    await matching.receives(checked_in("worker-2"))
    assert len(await matching.all(Waiting)) == 1


async def test_what_the_law_has_kept_goes_when_its_time_is_over(matching: Harness) -> None:
    offer = await offered(matching)
    await accept(matching, offer)
    await matching.receives(erased(matching))
    await matching.later(days=730)
    assert len(await matching.all(Placement)) == len(await matching.all(Offer)) == 1
    await matching.later(days=1)
    assert (await matching.all(Placement), await matching.all(Offer)) == ([], [])


async def test_an_export_shows_a_worker_their_own_and_not_who_blocked_them(matching: Harness) -> None:
    await offered(matching)
    await matching.receives(BLOCK)
    mine = (await matching.http.get("/me/export", headers=matching.as_("worker", "worker-1"))).json()["collections"]
    assert {name: len(rows) for name, rows in mine.items()} == {
        "waiting": 1,
        "profiles": 1,
        "commitments": 1,
        "offers": 1,
        "placements": 0,
    }
