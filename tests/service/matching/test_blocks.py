"""A blocked pair is never matched, to the second; what was agreed stays."""

from datetime import datetime

import pytest

from services.matching.store import Block, Placement
from shared.contracts.matching import OfferExpired
from shared.contracts.workers import PairBlocked, PairUnblocked
from shared.testing import Harness
from tests.service.matching.kit import accept, at, checked_in, offer_of, offered, posted, problem, run

pytestmark = pytest.mark.feature("F38")


def blocked(id: str = "block-1", *, employer: str = "employer-1", until: datetime | None = None) -> PairBlocked:
    return PairBlocked(block_id=id, worker_id="worker-1", employer_id=employer, until=until)


def unblocked(id: str = "block-1") -> PairUnblocked:
    return PairUnblocked(block_id=id, worker_id="worker-1", employer_id="employer-1")


async def test_a_blocked_pair_is_not_matched_and_others_are(matching: Harness) -> None:
    await matching.receives(blocked())
    await matching.receives(posted(), checked_in(), checked_in("worker-2"))
    assert (await run(matching)).offers == 1
    assert (await offer_of(matching, "worker-2")).gig_id == "gig-1"
    await matching.receives(posted("another-employers", employer_id="employer-2"))
    assert (await run(matching)).offers == 1
    assert (await offer_of(matching)).gig_id == "another-employers"


async def test_a_block_ends_at_its_second(matching: Harness) -> None:
    until = at(1)
    await matching.receives(blocked(until=until), posted(), checked_in())
    matching.clock.now = until.replace(microsecond=0)
    matching.clock.advance(seconds=-1)
    assert (await run(matching)).offers == 0
    matching.clock.advance(seconds=1)
    assert (await run(matching)).offers == 1


async def test_each_side_has_its_own_block(matching: Harness) -> None:
    await matching.receives(blocked("the-workers"), blocked("the-employers"), posted(), checked_in())
    await matching.receives(unblocked("the-workers"))
    assert (await run(matching)).offers == 0
    await matching.receives(unblocked("the-employers"))
    assert (await run(matching)).offers == 1
    assert await matching.all(Block) == []


async def test_a_block_that_is_said_again_has_its_new_end(matching: Harness) -> None:
    await matching.receives(blocked(until=at(0.5)), blocked(), posted(), checked_in())
    matching.clock.advance(hours=1)
    assert (await run(matching)).offers == 0


async def test_an_offer_in_hand_ends_and_cannot_be_accepted(matching: Harness) -> None:
    offer = await offered(matching)
    await matching.receives(blocked())
    assert problem(await accept(matching, offer)) == (409, "offer-ended")
    outcome = await run(matching)
    assert (outcome.retired, outcome.offers) == (1, 0)
    (said,) = await matching.published(OfferExpired)
    assert said.reason == "gone"


async def test_what_was_agreed_stays(matching: Harness) -> None:
    await accept(matching, await offered(matching))
    await matching.receives(blocked())
    await run(matching)
    (placement,) = await matching.all(Placement)
    assert placement.status == "placed"
