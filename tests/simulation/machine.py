"""The market as a Hypothesis state machine: what people do, in which order servers are called, and who dies when.

people: post · amend · close · check in · check out · accept · decline · cancel · confirm · start a shift
processes: take events · run a window · fire timers · relay      each in as many turns as it makes calls
faults: an answer that is lost, a call that does not arrive, a death at any call, a record that comes twice
"""

import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.matching import deals, handlers, market
from services.matching import store as matching
from services.posting import handlers as posting_handlers
from services.posting import lifecycle
from services.posting import store as posting
from services.rights import attendance
from services.rights import handlers as rights_handlers
from services.rights import store as rights
from shared.contracts import Event
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigPosted
from shared.contracts.rights import AgreementMade, ShiftMissed, ShiftStarted
from shared.contracts.terms import Crew
from shared.contracts.workers import WorkerCheckedOut
from shared.reactions import Reactions
from shared.unit import Unit
from tests.service.matching.kit import FURONG, checked_in, terms
from tests.simulation.database import Fate, matches
from tests.simulation.world import SWEEP_SECONDS, Member, Process, World

MEMBERS = (
    Member("posting", posting.DOCUMENTS, posting_handlers.react),
    Member("matching", matching.DOCUMENTS, handlers.react),
    Member("rights", rights.DOCUMENTS, rights_handlers.react),
    Member("workers", (), Reactions()),
)
REPLICAS = 2
WORKERS = 4
HOURS = ((2, 6), (5, 9), (6, 10))
"""Of the gigs: the second overlaps the two others, which touch."""

TO_A_NO_SHOW = (2 * 60 + 11) * 60.0
"""From a post to when the first of the shifts is missed, in seconds."""

UNSAID = ("agencies.gig", "workers.block", "workers.worker")
"""Topics on which nobody here says anything: a step that reads one would be lost."""
CRITICAL = ("send", "commit", "delete", "insert", "write posting._", "write matching._")
RISK = 0.2
"""How probably a call is lost or the last, where that could leave something half done; elsewhere a tenth of that."""

which = st.integers(0, 7)
Work = Callable[[Unit], Awaitable[Any]]


class Market(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(MEMBERS, replicas=REPLICAS)
        self.checkins = 0
        self.present: dict[str, str] = {}
        self.looked_at = 0
        self.first_ids: dict[tuple[str, int], str] = {}
        self.reached: Counter[str] = Counter()
        self.seats: dict[tuple[str, int], str] = {}
        self.promised: dict[str, dict[str, Any]] = defaultdict(dict)
        self.shifts: dict[str, type[Event]] = {}

    def teardown(self) -> None:
        try:
            self.rest()
            self.check_end()
        finally:
            self.world.close()

    # --- people --------------------------------------------------------------------------------------------------

    @initialize()
    def open_the_market(self) -> None:
        async def register(unit: Unit) -> None:
            unit.save(
                posting.Employer(
                    id="employer-1",
                    name="Example Parcels",
                    credit_code="1",
                    licence_no="1",
                    district=FURONG,
                    contact=b"",
                )
            )

        self.do("posting", 0, register)
        self.world.calm()
        for hours in range(len(HOURS)):
            self.post(0, 1, hours, "instant")
        for worker in range(WORKERS):
            self.check_in(worker, worker % 2 == 1)
        self.world.calm()
        self.drain()

    @rule(
        n=which,
        headcount=st.integers(1, 2),
        hours=st.integers(0, 2),
        hiring=st.sampled_from(["instant", "instant", "confirm", "crew"]),
    )
    def post(self, n: int, headcount: int, hours: int, hiring: str) -> None:
        """A crew is whole with all of its headcount."""
        start, end = HOURS[hours]
        crew = Crew(least=headcount) if hiring == "crew" else None
        wanted = terms(start, end, headcount=headcount, hiring=hiring if crew is None else "instant", crew=crew)

        async def work(unit: Unit) -> None:
            employer = await unit.get(posting.Employer, "employer-1")
            assert employer is not None
            lifecycle.post(unit, employer, FURONG, wanted)

        self.do("posting", n, work)

    @rule(n=which, gig=which, headcount=st.integers(1, 3))
    def amend(self, n: int, gig: int, headcount: int) -> None:
        async def work(unit: Unit) -> None:
            found = await self.chosen(unit, posting.Gig, "posting", gig)
            if found is not None:
                lifecycle.may_amend(unit, found)
                lifecycle.amend(unit, found, found.terms.model_copy(update={"headcount": headcount}))

        self.do("posting", n, work)

    @rule(n=which, gig=which)
    def close_gig(self, n: int, gig: int) -> None:
        async def work(unit: Unit) -> None:
            found = await self.chosen(unit, posting.Gig, "posting", gig)
            if found is not None:
                lifecycle.close(unit, found, "employer")

        self.do("posting", n, work)

    @rule(worker=st.integers(0, WORKERS - 1), automatic=st.booleans())
    def check_in(self, worker: int, automatic: bool) -> None:
        self.checkins += 1
        name, checkin = f"worker-{worker}", f"checkin-{self.checkins}"
        before = self.present.get(name)
        self.present[name] = checkin
        event = checked_in(name, checkin=checkin, accepts_automatically=automatic)
        self.say(*([gone(name, before)] if before else []), event)

    @rule(worker=st.integers(0, WORKERS - 1))
    def check_out(self, worker: int) -> None:
        checkin = self.present.pop(f"worker-{worker}", None)
        if checkin:
            self.say(gone(f"worker-{worker}", checkin))

    @rule(n=which, offer=which, answer=st.sampled_from([deals.accept, deals.accept, deals.decline]))
    def answer(self, n: int, offer: int, answer: Callable[[Unit, matching.Offer], Awaitable[Any]]) -> None:
        open_ = [row["_id"] for row in self.world.rows("matching", "offers") if row["open"]]
        if open_:
            id = open_[offer % len(open_)]

            async def work(unit: Unit) -> None:
                found = await unit.get(matching.Offer, id)
                assert found is not None
                await answer(unit, found)

            self.do("matching", n, work)

    @rule(n=which)
    def crowd(self, n: int) -> None:
        """All who were offered something accept at once, at different processes."""
        for place in range(WORKERS):
            self.answer(n + place, place, deals.accept)

    @rule(
        n=which,
        placement=which,
        by=st.sampled_from(["worker", "employer"]),
        confirm=st.booleans(),
        drowsy=st.booleans(),
        taken_again=st.booleans(),
    )
    def cancel_or_confirm(
        self, n: int, placement: int, by: deals.Side, confirm: bool, drowsy: bool, taken_again: bool
    ) -> None:
        """A drowsy process sleeps before it says so; then somebody else may have the seat before others hear of it."""
        status = "awaiting-confirmation" if confirm else "placed"

        async def work(unit: Unit) -> None:
            found = await self.chosen(unit, matching.Placement, "matching", placement, status=status)
            if found is not None:
                await (deals.confirm(unit, found) if confirm else deals.cancel(unit, found, by))

        self.do("matching", n, work)
        if drowsy:
            self.fall_asleep("matching", n, "send")
        if drowsy and taken_again:
            for worker in range(WORKERS):
                self.check_in(worker, automatic=True)
            self.go_on()

    @rule(n=which, placement=which)
    def start_shift(self, n: int, placement: int) -> None:
        """As early or late as it may be: whether it was missed is all that is asked here."""

        async def work(unit: Unit) -> None:
            shift = await self.chosen(unit, rights.Shift, "rights", placement, status="planned")
            if shift is not None and shift.status == "planned":
                attendance.start(unit, shift)

        self.do("rights", n, work)

    # --- processes -----------------------------------------------------------------------------------------------

    @rule(service=st.sampled_from(["posting", "matching", "rights"]), n=which, topic=which, most=st.integers(1, 5))
    def take(self, service: str, n: int, topic: int, most: int) -> None:
        process = self.process(service, n)
        topics = [topic for topic in process.member.reactions.topics if topic not in UNSAID]
        self.world.start(process, process.take(topics[topic % len(topics)], most))

    @rule(n=which, both=st.booleans())
    def window(self, n: int, both: bool) -> None:
        """A window of the district, or two at a time: who holds its partition is not always one process."""
        for place in (n, n + 1)[: 1 + both]:
            process = self.process("matching", place)
            self.world.start(process, market.window(process.store, process.tracer, FURONG, seed=place))

    @rule(service=st.sampled_from(["posting", "matching", "rights"]), n=which)
    def fire(self, service: str, n: int) -> None:
        process = self.process(service, n)
        self.world.start(process, process.timers.fire_due())

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, SWEEP_SECONDS, 130.0, TO_A_NO_SHOW]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.waiting)
    @rule(seed=st.integers(0, 1_000), turns=st.integers(1, 80), trouble=st.booleans())
    def turns(self, seed: int, turns: int, trouble: bool) -> None:
        """So many calls happen, in some order; in times of trouble some are lost, and some are somebody's last.

        Some processes are slow and some stand still meanwhile: what one has done by half, others meet.
        """
        draw = random.Random(seed)
        speed: dict[Process, float] = defaultdict(lambda: draw.choice([0.0, 0.05, 1.0, 1.0]))
        speed |= {process: 0.0 for process in self.world.processes if process.asleep}
        for _ in range(turns):
            speeds = [speed[turn.process] for turn in self.world.waiting]
            if not any(speeds):
                return
            (place,) = draw.choices(range(len(speeds)), speeds)
            turn = self.world.waiting[place]
            risk = RISK if turn.what.startswith(CRITICAL) else RISK / 10
            dies = trouble and draw.random() < risk
            fate: Fate = draw.choice(["unsent", "unanswered"]) if trouble and draw.random() < risk else "done"
            if dies and draw.random() < 0.5:
                turn.process.replace()
                continue
            self.world.step(place, fate)
            if dies and not turn.process.dead:
                turn.process.replace()
            self.check_log()

    @rule(service=st.sampled_from(["posting", "matching", "matching"]), n=which, point=st.sampled_from(CRITICAL[:3]))
    def fall_asleep(self, service: str, n: int, point: str) -> None:
        """A process goes on until it is about to do this, and sleeps; in its own eyes it never did."""
        process = self.process(service, n)
        for _ in range(60):
            mine = [place for place, turn in enumerate(self.world.waiting) if turn.process is process]
            if not mine or any(self.world.waiting[place].what.startswith(point) for place in mine):
                break
            self.world.step(mine[0])
        process.asleep = True

    @rule()
    def wake(self) -> None:
        for process in self.world.processes:
            process.asleep = False

    @rule(n=which)
    def kill(self, n: int) -> None:
        self.world.processes[n % len(self.world.processes)].replace()

    @rule()
    def go_on(self) -> None:
        """All goes well for a while where nobody sleeps: what is on its way arrives, and a window follows."""
        for process in self.world.processes:
            if process.member.name == "matching" and not process.asleep:
                self.world.calm()
                self.drain()
                self.world.start(process, market.window(process.store, process.tracer, FURONG, seed=1))
        self.world.calm()
        self.drain()

    @precondition(lambda self: self.world.said)
    @rule(record=st.integers(0, 100))
    def repeat(self, record: int) -> None:
        """A relay that was thought dead sends once more what it had in hand."""
        letters = [letter for letters in self.world.log.values() for letter in letters]
        letter = letters[-1 - record % len(letters)]
        self.world.append(letter.topic, letter.key or b"", dict(letter.headers), letter.body)

    # --- what holds at every prefix of the log -------------------------------------------------------------------

    @invariant()
    def check_log(self) -> None:
        assert not self.world.errors, self.world.errors
        assert not self.world.turned_back, self.world.turned_back
        for said in self.world.said[self.looked_at :]:
            self.looked_at += 1
            assert said.id in self.world.committed, f"nobody meant to say {said}"
            first = self.first_ids.setdefault((said.stream, said.sequence), said.id)
            assert first == said.id, f"said twice under one number: {said}"
            if said.sequence <= self.reached[said.stream]:
                continue
            assert said.sequence == self.reached[said.stream] + 1, f"a gap before {said}"
            self.reached[said.stream] = said.sequence
            match said.event:
                case PlacementMade() as made:
                    seat = made.gig_id, made.seat
                    assert seat not in self.seats, f"two in one seat: {made}"
                    mine = self.promised[made.worker_id]
                    assert not any(period.overlaps(made.terms.period) for period in mine.values()), f"overlap: {made}"
                    self.seats[seat] = made.placement_id
                    mine[made.placement_id] = made.terms.period
                case PlacementCancelled() as cancelled:
                    assert self.seats.pop((cancelled.gig_id, cancelled.seat)) == cancelled.placement_id
                    del self.promised[cancelled.worker_id][cancelled.placement_id]
                    if cancelled.reason == "no-show":
                        assert self.shifts[cancelled.placement_id] is ShiftMissed, f"given up for nothing: {cancelled}"
                case ShiftStarted() | ShiftMissed() as shift:
                    first_kind = self.shifts.setdefault(shift.placement_id, type(shift))
                    assert first_kind is type(shift), f"started and missed: {shift}"

    # --- what holds at the end -----------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nothing goes wrong any more, and nobody acts: all must come to an end by itself."""
        self.wake()
        for _ in range(3):
            self.world.calm()
            self.world.pass_time(SWEEP_SECONDS)
            self.drain()
        self.check_log()

    def drain(self) -> None:
        """Every service handles all there is, and what follows from it."""
        moved = True
        while moved:
            moved = False
            for process in list(self.world.processes):
                for topic in process.member.reactions.topics:
                    before = self.at(process, topic)
                    self.world.start(process, process.take(topic, 100))
                    self.world.calm()
                    moved = moved or self.at(process, topic) != before

    def at(self, process: Process, topic: str) -> int:
        fences = self.world.server.rows[f"{process.member.name}._fences"]
        return int(fences.get(f"{process.member.name}:{topic}:0", {"next": 0})["next"])

    def check_end(self) -> None:
        world = self.world
        logged = {said.id for said in world.said}
        assert world.committed == logged, f"never said: {world.committed - logged}"
        for member in MEMBERS:
            assert not world.rows(member.name, "_outbox"), member.name
            assert not world.rows(member.name, "_dead"), world.rows(member.name, "_dead")
            for topic in member.reactions.topics:
                assert self.at(self.process(member.name, 0), topic) == len(world.log[topic]), topic
        made = list(world.of(PlacementMade).values())
        ended = {event.placement_id for event in world.of(PlacementCancelled).values()}
        posted = [event.gig_id for event in world.of(GigPosted).values()]
        assert len(set(posted)) == len(posted)
        assert len({event.offer_id for event in made}) == len(made), "an offer led to two placements"
        standing = {event.placement_id: event for event in made if event.placement_id not in ended}
        of_gig = Counter(event.gig_id for event in standing.values())
        for gig in world.rows("posting", "gigs"):
            there = world.server.rows["matching.gigs"][gig["_id"]]
            assert there["terms"] == gig["terms"], "the market goes by other terms than those posted"
            assert there["closed"] == gig["closed_reason"], gig
            assert gig["placed"] == of_gig[gig["_id"]], gig
            assert gig["placed"] <= gig["terms"]["headcount"] or gig["status"] != "open", gig
        taken = {row["placement_id"] for row in world.rows("matching", "seats") if not row["open"]}
        stand = {row["_id"] for row in world.rows("matching", "placements") if row["status"] == "placed"}
        await_ = {
            row["_id"]
            for row in world.rows("matching", "placements")
            if row["status"] in ("awaiting-confirmation", "held")
        }
        for gig in world.rows("matching", "gigs"):
            if gig["crew"] in ("gathering", "failed"):
                assert not any(event.gig_id == gig["_id"] for event in made), f"placed before the crew was whole: {gig}"
        assert stand == standing.keys()
        assert taken == stand | await_
        promised = [p["placement_id"] for row in world.rows("matching", "commitments") for p in row["periods"]]
        assert sorted(promised) == sorted(stand | await_)
        agreements = {row["_id"]: row["void_at"] is None for row in world.rows("rights", "agreements")}
        assert agreements == {event.placement_id: event.placement_id in standing for event in made}
        told = Counter(event.placement_id for event in world.of(AgreementMade).values())
        assert all(times == 1 for times in told.values()), told
        assert standing.keys() <= told.keys()

    # --- by what it is done --------------------------------------------------------------------------------------

    def process(self, service: str, n: int) -> Process:
        replicas = [process for process in self.world.processes if process.member.name == service]
        return replicas[n % len(replicas)]

    def do(self, service: str, n: int, work: Work) -> None:
        process = self.process(service, n)
        self.world.start(process, process.transact(work))

    def say(self, *events: Event) -> None:
        async def work(unit: Unit) -> None:
            for event in events:
                unit.publish(event)

        self.do("workers", 0, work)

    async def chosen(self, unit: Unit, kind: Any, service: str, which: int, **only: str) -> Any:
        ids = sorted(row["_id"] for row in self.world.rows(service, kind.collection) if matches(row, only))
        return await unit.get(kind, ids[which % len(ids)]) if ids else None


def gone(worker: str, checkin: str) -> WorkerCheckedOut:
    return WorkerCheckedOut(
        presence_id=f"{checkin}:{FURONG}", checkin_id=checkin, worker_id=worker, district=FURONG, reason="worker"
    )
