"""What the market hears may come twice, in any order between topics, and late: it comes to the same."""

import itertools
import random

import pytest
from opentelemetry import trace

from services.matching.store import DOCUMENTS, Gig, Offer, Profile, Seat, Waiting
from shared.contracts import Event
from shared.contracts.matching import OfferExpired, OfferMade
from shared.contracts.workers import WorkerChanged, WorkerProfile
from shared.delivery import Letter
from shared.testing import Harness
from shared.unit import outbox_row
from tests.service.matching.kit import (
    FURONG,
    accept,
    amended,
    at,
    checked_in,
    checked_out,
    closed,
    offer_of,
    posted,
    profile,
    run,
    state,
    terms,
)


def changed(worker: str, new: WorkerProfile) -> WorkerChanged:
    return WorkerChanged(worker_id=worker, district=FURONG, profile=new)


async def test_every_event_twice_changes_nothing(matching: Harness) -> None:
    said: list[Event] = [
        posted(headcount=2),
        checked_in("worker-1"),
        checked_in("worker-2"),
        changed("worker-1", profile(revision=1, floor_fen_per_hour=2100)),
        checked_out("worker-2"),
        amended("gig-1", terms(headcount=3)),
        posted("gig-2"),
        closed("gig-2"),
    ]
    for number, event in enumerate(said):
        await matching.receives(event, id=f"event-{number}")
    before = await state(matching), [(one.id, one.version) for one in await matching.all(Gig)]
    for number, event in enumerate(said):
        await matching.receives(event, id=f"event-{number}")
    assert (await state(matching), [(one.id, one.version) for one in await matching.all(Gig)]) == before
    # The same facts under other ids, as after a publisher's replay: the market is the same again.
    for event in said[:1] + said[1:2] + said[3:4] + said[7:]:
        await matching.receives(event)
    assert await state(matching) | {"seats": []} == before[0] | {"seats": []}
    assert [waiting.worker_id for waiting in await matching.all(Waiting)] == ["worker-1"]
    assert await matching.dead() == []


async def test_topics_may_overtake_one_another(matching: Harness) -> None:
    """Gigs, presences and workers come by three topics; each keeps its own order."""
    topics: list[list[Event]] = [
        [posted(headcount=2), amended("gig-1", terms(headcount=1, skills=("sorting",)))],
        [checked_in("worker-1", skills=("sorting",), revision=1), checked_in("worker-2", revision=1)],
        [
            changed("worker-2", profile(revision=2, skills=("sorting",), floor_fen_per_hour=2600)),
            changed("worker-1", profile(revision=2, skills=("sorting",), floor_fen_per_hour=2400)),
        ],
    ]
    whole = [[first, first, second, second, third, third] for first, second, third in itertools.permutations(range(3))]
    mixed = random.Random(1).sample(sorted(set(itertools.permutations([0, 0, 1, 1, 2, 2]))), 12)
    outcomes = set()
    for turn in [*whole, *mixed]:
        for kind in (*DOCUMENTS, None):
            await matching.runtime.store.db[kind.collection if kind else "_streams"].delete_many({})
        queues = [iter(topic) for topic in topics]
        for topic in turn:
            await matching.receives(next(queues[topic]))
        await run(matching)
        floors = sorted((one.worker_id, one.profile.floor_fen_per_hour) for one in await matching.all(Waiting))
        outcomes.add(str((await state(matching), floors)))
    assert len(outcomes) == 1
    # Only worker-1 fits what holds at the end.
    assert "gig-1 worker-1 open" in outcomes.pop()


async def test_a_batch_of_all_is_the_same_as_one_by_one(matching: Harness) -> None:
    new = terms(headcount=4)
    await matching.receives(posted(headcount=1), amended("gig-1", terms(headcount=3)), amended("gig-1", new))
    assert sorted(seat.number for seat in await matching.all(Seat)) == [1, 2, 3, 4]
    await matching.receives(amended("gig-1", terms(headcount=2)), amended("gig-1", terms(headcount=3)), closed())
    assert await matching.all(Seat) == []


async def test_an_older_profile_does_not_replace_a_newer_one(matching: Harness) -> None:
    """Automatic acceptance that a worker has switched off must not come back with a late event."""
    await matching.receives(changed("worker-1", profile(revision=3)))
    await matching.receives(checked_in(revision=2, accepts_automatically=True))
    await matching.receives(changed("worker-1", profile(revision=1, accepts_automatically=True)))
    (waiting,) = await matching.all(Waiting)
    (known,) = await matching.all(Profile)
    assert not waiting.profile.accepts_automatically
    assert known.profile.revision == 3


async def test_a_change_is_in_force_in_the_next_window(matching: Harness) -> None:
    await matching.receives(posted(), checked_in())
    await matching.receives(changed("worker-1", profile(revision=1, floor_fen_per_hour=9900)))
    assert (await run(matching)).offers == 0


async def test_more_and_fewer_seats(matching: Harness) -> None:
    await matching.receives(posted(headcount=2), checked_in("worker-1"), checked_in("worker-2"))
    await run(matching)
    await accept(matching, await offer_of(matching, "worker-1"))
    taken = next(seat.number for seat in await matching.all(Seat) if not seat.open)
    await matching.receives(amended("gig-1", terms(headcount=4)))
    assert sorted(seat.number for seat in await matching.all(Seat)) == [1, 2, 3, 4]
    # An offer stands when only the headcount has changed.
    assert (await run(matching)).retired == 0
    await matching.receives(amended("gig-1", terms(headcount=1)))
    (left,) = await matching.all(Seat)
    assert (left.number, left.open) == (taken, False)
    assert (await run(matching)).retired == 1
    (ended,) = await matching.published(OfferExpired)
    assert ended.reason == "filled"


async def test_a_later_start_moves_the_seats_with_it(matching: Harness) -> None:
    await matching.receives(posted(start=1, end=2, valid_until=at(9)))
    await matching.receives(amended("gig-1", terms(start=3, end=4, valid_until=at(9))))
    assert [seat.until for seat in await matching.all(Seat)] == [at(3)]
    matching.clock.advance(hours=2)
    await matching.receives(checked_in())
    assert (await run(matching)).offers == 1


async def test_of_two_check_ins_of_one_worker_the_later_counts(matching: Harness) -> None:
    await matching.receives(checked_in(north_m=0, checkin="first"))
    matching.clock.advance(minutes=5)
    await matching.receives(checked_in(north_m=400, checkin="second"), posted())
    assert (await run(matching)).offers == 1
    (offer,) = await matching.all(Offer)
    assert offer.presence_id == f"second:{FURONG}"


async def test_nobody_is_offered_anything_after_their_presence(matching: Harness) -> None:
    await matching.receives(checked_in(until=1))
    matching.clock.advance(hours=1)
    await matching.receives(posted())
    assert (await run(matching)).offers == 0


async def test_an_offer_ends_with_the_presence(matching: Harness) -> None:
    await matching.receives(checked_in(until=0.01), posted())
    await run(matching)
    offer = await offer_of(matching)
    assert offer.expires_at == at(0.01)
    await matching.later(hours=0.01)
    (ended,) = await matching.published(OfferExpired)
    assert ended.reason == "gone"


async def test_a_gig_that_was_never_posted_here_cannot_be_closed(matching: Harness) -> None:
    await matching.receives(closed("never-posted"))
    (letter,) = await matching.dead()
    assert (letter["kind"], letter["reason"].split(":")[0]) == ("refused", "unknown-gig")


@pytest.mark.parametrize("later", ["gig", "check-in"])
async def test_an_offer_continues_the_trace_of_its_later_cause(matching: Harness, later: str) -> None:
    traces = {"gig": "1" * 32, "check-in": "2" * 32}
    events: dict[str, Event] = {"gig": posted(), "check-in": checked_in()}
    order = ["check-in", "gig"] if later == "gig" else ["gig", "check-in"]
    for cause in order:
        event = events[cause]
        if cause == "check-in":
            event = checked_in().model_copy(update={"at": at(0)})
        row = outbox_row(event, f"id-{cause}", 1, "test", at(0), {"traceparent": f"00-{traces[cause]}-{'3' * 16}-01"})
        await matching.receives_letters(Letter(row.topic, 0, 0, row.key, row.headers, row.body), topic=row.topic)
        matching.clock.advance(seconds=1)
    await run(matching)
    rows = await matching.runtime.store.db["_outbox"].find({}).to_list()
    (made,) = [row for row in rows if row["headers"]["ce_type"] == OfferMade.type]
    assert made["headers"]["traceparent"].split("-")[1] == traces[later]
    # Its end, by whichever way, goes on in the same trace.
    await matching.later(minutes=2)
    rows = await matching.runtime.store.db["_outbox"].find({}).to_list()
    (ended,) = [row for row in rows if row["headers"]["ce_type"] == OfferExpired.type]
    assert ended["headers"]["traceparent"].split("-")[1] == traces[later]
    assert not trace.get_current_span().get_span_context().is_valid
