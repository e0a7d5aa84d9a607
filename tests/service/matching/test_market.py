"""The loop that runs windows, and rules that a district sets for itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.matching import market
from services.matching.store import Offer
from shared.contracts.matching import OfferMade
from shared.testing import Harness
from tests.service.matching.kit import (
    FURONG,
    YUELU,
    accept,
    at,
    checked_in,
    checked_out,
    closed,
    offer_of,
    posted,
    rule,
    run,
)

BOUND_SECONDS = 20.0


@asynccontextmanager
async def running(matching: Harness, monkeypatch: pytest.MonkeyPatch, *, nudged: bool) -> AsyncIterator[None]:
    """The service's loop, owner of Furong's partition alone."""
    monkeypatch.setattr(matching.runtime.bus, "owns", lambda topic, key: key == FURONG)
    if nudged:
        matching.runtime.store.after_commit = matching.runtime._committed
    loop = asyncio.create_task(market.keep_matching(matching.runtime))
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def until(condition: Callable[[list[Offer]], bool], matching: Harness) -> list[Offer]:
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition(offers := await matching.all(Offer)):  # noqa: ASYNC110 - a database rings no bell
            await asyncio.sleep(0.01)
    return offers


async def test_a_change_wakes_the_loop(matching: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "TICK_SECONDS", 3600.0)
    async with running(matching, monkeypatch, nudged=True):
        await asyncio.sleep(0)
        await matching.receives(posted("elsewhere", district=YUELU), checked_in("other", district=YUELU))
        await matching.receives(posted(), checked_in())
        (offer,) = await until(bool, matching)
        assert (await accept(matching, offer)).status_code == 200
        await matching.receives(posted("gig-2"), checked_in("worker-2"))
        offers = await until(lambda offers: len(offers) == 2, matching)
    assert {offer.district for offer in offers} == {FURONG}


async def test_a_window_is_asked_for_by_what_it_can_do_something_about(matching: Harness) -> None:
    """Not by a seat that is taken while others are free, nor by the end of a check-in that holds no offer."""
    asked: list[set[str]] = []
    matching.runtime.store.after_commit = lambda unit: asked.append(set(unit.nudged))
    await matching.receives(posted(headcount=2), checked_in("worker-1"), checked_in("worker-2"))
    await run(matching)
    first, second = [await offer_of(matching, worker) for worker in ("worker-1", "worker-2")]
    asked.clear()
    assert (await accept(matching, first)).status_code == 200
    await matching.receives(checked_out("worker-1"))
    assert not set().union(*asked)
    assert (await accept(matching, second)).status_code == 200
    assert set().union(*asked) == {FURONG}
    asked.clear()
    await matching.receives(posted("gig-2"), checked_in("worker-3"))
    await run(matching)
    asked.clear()
    await matching.receives(checked_out("worker-3"))
    assert set().union(*asked) == {FURONG}


async def test_what_another_process_changed_is_seen_by_and_by(
    matching: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "TICK_SECONDS", 0.05)
    await matching.receives(posted(), checked_in())
    async with running(matching, monkeypatch, nudged=False):
        await until(bool, matching)
        await matching.receives(posted("gig-2"), checked_in("worker-2"))
        await until(lambda offers: len(offers) == 2, matching)


async def test_a_window_that_fails_does_not_stop_the_others(matching: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(market, "QUIET", 0)
    monkeypatch.setattr(matching.runtime.bus, "owns", lambda topic, key: True)
    real, failed = market.window, 0

    async def fails_in_yuelu(db: object, tracer: object, district: str) -> market.Outcome:
        nonlocal failed
        if district == YUELU:
            failed += 1
            raise RuntimeError("a fault of this window")
        return await real(matching.runtime.store, matching.runtime.tracer, district)

    monkeypatch.setattr(market, "window", fails_in_yuelu)
    await matching.receives(posted("elsewhere", district=YUELU), posted(), checked_in())
    loop = asyncio.create_task(market.keep_matching(matching.runtime))
    try:
        await until(lambda offers: bool(offers) and failed > 0, matching)
        assert not loop.done()
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.feature("F27")
async def test_a_district_has_rules_of_its_own_and_offers_name_them(matching: Harness) -> None:
    await rule(matching, "43", offer_seconds=7)
    await rule(matching, exposure=1, offer_seconds=9)
    own = await rule(matching, exposure=1, offer_seconds=5)
    await rule(matching, exposure=1, offer_seconds=11, since=at(1))
    await matching.receives(posted(), checked_in("worker-1"), checked_in("worker-2"))
    await matching.receives(posted("gig-2", district=YUELU), checked_in("worker-3", district=YUELU))
    assert (await run(matching)).offers == 1
    await run(matching, YUELU)
    stands = {said.weights: said.expires_at - said.made_at for said in await matching.published(OfferMade)}
    assert own == "default-4+43.1+430102.3"
    assert stands == {own: timedelta(seconds=5), "default-4+43.1": timedelta(seconds=7)}


@pytest.mark.feature("F27")
async def test_ties_are_drawn_by_the_seed_that_the_offer_keeps(matching: Harness) -> None:
    """The same people and gig with the same seed: the same worker; over many seeds, not always the same."""
    chosen: dict[int, set[str]] = {}
    await matching.receives(*(checked_in(f"worker-{n}") for n in range(4)))
    for number, seed in enumerate([1, 2, 3, 4, 1, 2, 3, 4]):
        gig = f"gig-{number:02}"
        await matching.receives(posted(gig))
        await run(matching, seed=seed)
        offers = [offer for offer in await matching.all(Offer) if offer.gig_id == gig]
        assert {offer.seed for offer in offers} == {seed}
        chosen.setdefault(seed, set()).add(min(offers, key=lambda offer: offer.id).worker_id)
        for offer in offers:
            await matching.http.post(f"/offers/{offer.id}/decline", headers=matching.as_("worker", offer.worker_id))
        await matching.receives(closed(gig))
    assert all(len(workers) == 1 for workers in chosen.values())
    assert len(set.union(*chosen.values())) > 1


async def test_a_window_makes_no_more_offers_than_its_rules_allow_and_says_so(matching: Harness) -> None:
    await rule(matching, offers_per_window=3, exposure=1)
    await matching.receives(posted(headcount=5), *(checked_in(f"worker-{n}") for n in range(8)))
    outcomes = [await run(matching) for _ in range(3)]
    assert [(outcome.offers, outcome.more) for outcome in outcomes] == [(3, True), (2, False), (0, False)]


async def test_the_first_offer_of_a_check_in_is_the_one_that_is_timed(matching: Harness) -> None:
    await matching.receives(checked_in())
    matching.clock.advance(seconds=30)
    await matching.receives(posted())
    matching.clock.advance(milliseconds=250)
    await run(matching)
    first = await offer_of(matching)
    await matching.http.post(f"/offers/{first.id}/decline", headers=matching.as_("worker", "worker-1"))
    await matching.receives(posted("gig-2"))
    matching.clock.advance(seconds=9)
    await run(matching)
    second = await offer_of(matching)
    assert [(offer.first, offer.delay_ms) for offer in (first, second)] == [(True, 250), (False, 9000)]


@pytest.mark.feature("F1")
async def test_a_burst_of_openings_is_served_whole_window_by_window(matching: Harness) -> None:
    await rule(matching, offers_per_window=100, gigs_per_window=70)
    await matching.receives(*(checked_in(f"worker-{n:03}", north_m=n * 10) for n in range(400)))
    await matching.receives(*(posted(f"gig-{n:03}", north_m=n * 20) for n in range(200)))
    windows = 0
    while (await run(matching, seed=windows)).more:
        windows += 1
    offers = await matching.all(Offer)
    assert {offer.gig_id for offer in offers} == {f"gig-{n:03}" for n in range(200)}
    assert len({offer.worker_id for offer in offers}) == len(offers) == 400
    assert windows <= 8
