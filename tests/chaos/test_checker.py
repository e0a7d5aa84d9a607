"""The checker finds each kind of damage, and nothing in a market where all went well."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.run import load
from tests.chaos.checker import Report, judge
from tests.chaos.history import History
from tests.chaos.image import Change, Image, Said
from tests.chaos.stack import REACTING

GIG, WORKER, FIRM, DISTRICT = "gig-1", "worker-1", "employer-1", "430111"
MORNING, NOON = ("2026-12-01 08:00", "2026-12-01 12:00"), ("2026-12-01 12:00", "2026-12-01 16:00")
TERMS = {"headcount": 2, "employer_id": FIRM, "period": {"start": MORNING[0], "end": MORNING[1]}}
PROFILE = {"revision": 0, "accepts_automatically": False}


class World:
    """A good image, put together as the services would have."""

    def __init__(self, folder: Path) -> None:
        self.image = Image(History(folder / "history.jsonl"))
        self._ends: dict[str, int] = {}

    def say(self, topic: str, type_: str, subject: str, n: int = 1, **body: Any) -> Said:
        offset = self._ends.get(topic, 0)
        self._ends[topic] = offset + 1
        said = Said(topic, 0, offset, "key", f"{type_}:{subject}:{n}", type_, subject, n, body)
        self.image.log.append(said)
        return said

    def call(self, command: str, *, answer: dict[str, Any] | None = None, status: Any = "ok", **facts: Any) -> None:
        call = self.image.history.call("somebody", command, f"key-{len(self.image.history.calls)}", facts)
        self.image.history.ended(call, status, answer=answer)


def placement(world: World, n: int, seat: int, *, cancelled: bool = False) -> None:
    """A check-in, an offer and its acceptance, with everything that follows, for worker n."""
    worker, id, offer, checkin = f"worker-{n}", f"placement-{n}", f"offer-{n}", f"checkin-{n}"
    who: dict[str, Any] = {"worker_id": worker, "employer_id": FIRM, "gig_id": GIG, "district": DISTRICT}
    world.call("register-worker", who=worker)
    world.say("workers.worker", "worker-registered", worker, worker_id=worker, profile=PROFILE)
    world.call("check-in", answer={"checkin_id": checkin, "districts": [DISTRICT]}, who=worker)
    presence: dict[str, Any] = {"presence_id": f"{checkin}:{DISTRICT}", "checkin_id": checkin, "worker_id": worker}
    world.say("workers.presence", "worker-checked-in", f"{checkin}:{DISTRICT}", **presence, profile=PROFILE)
    world.say("matching.offer", "offer-made", offer, offer_id=offer, terms=TERMS, **who)
    world.call("accept", answer={"placement_id": id}, who=worker, offer_id=offer)
    made: dict[str, Any] = {"placement_id": id, "offer_id": offer, "seat": seat, **who}
    world.say("matching.placement", "placement-made", id, terms=TERMS, **made)
    world.say("workers.presence", "worker-checked-out", f"{checkin}:{DISTRICT}", 2, reason="placed", **presence)
    world.say("rights.agreement", "agreement-made", id, placement_id=id, **who)
    world.image.standing.append(Change(worker, id, GIG, seat, MORNING, stands=True))
    if cancelled:
        world.call("cancel", placement_id=id)
        world.say("matching.placement", "placement-cancelled", id, 2, **made, by="worker")
        world.image.standing.append(Change(worker, id, GIG, seat, MORNING, stands=False))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Two placements stand in a gig of two seats, one was cancelled, one call was refused, one record is poison."""
    world = World(tmp_path)
    image = world.image
    world.call("verify", employer_id=FIRM)
    world.say("posting.employer", "employer-verified", FIRM, employer_id=FIRM)
    world.call("post", answer={"gig_id": GIG}, who=FIRM)
    world.say("posting.gig", "gig-posted", GIG, gig_id=GIG, terms=TERMS)
    placement(world, 3, 1, cancelled=True)
    placement(world, 1, 1)
    placement(world, 2, 2)
    world.call("accept", status="failed", who="worker-4", offer_id="offer-4")
    world.say("posting.gig", "gig-filled", GIG, 2, gig_id=GIG, placed=2)
    image.poison["posting.gig", 0, 2] = None
    image.ends = {(topic, 0): end for topic, end in world._ends.items()} | {("posting.gig", 0): 3}
    image.databases = databases(image)
    for service in REACTING:
        reactions = load(service).reactions
        full = {said.id: f"{said.topic.partition('.')[0]}.{said.type}.v1" for said in image.log}
        image.inbox[service] = {said.id for said in image.log if full[said.id] in reactions.kinds}
        fences = image.databases[service]["_fences"]
        fences |= {f"{service}:{topic}:0": {"next": image.ends.get((topic, 0), 0)} for topic in reactions.topics}
        if "posting.gig" in reactions.topics:
            letter = {"topic": "posting.gig", "partition": 0, "offset": 2, "kind": "unreadable", "reason": "no type"}
            image.databases[service]["_dead"]["posting.gig:0:2"] = letter
            image.letters[service] = {"posting.gig:0:2"}
    return image


def databases(image: Image) -> dict[str, Any]:
    """What each service remembers, written down by hand for this market."""
    standing = {"placement-1": ("worker-1", 1), "placement-2": ("worker-2", 2)}
    all_ = {"placement-1": True, "placement-2": True, "placement-3": False}
    gig = {"terms": {"headcount": 2}, "closed": None, "status": "filled", "placed": 2, "revision": 1}
    messages: dict[str, Any] = {}
    for person in (WORKER, "worker-2", "worker-3"):
        n = person[-1]
        of = [f"offer-made:offer-{n}", f"placement-made:placement-{n}", f"agreement-made:placement-{n}"]
        of += [f"placement-cancelled:placement-{n}"] if n == "3" else []
        messages |= {f"{about}:{person}": {"person_id": person, "sequence": k} for k, about in enumerate(of, start=1)}
    told = [f"employer-verified:{FIRM}:20270101T000000", f"gig-filled:{GIG}:1", "placement-cancelled:placement-3"]
    told += [f"placement-made:placement-{n}" for n in (1, 2, 3)]
    messages |= {f"{about}:{FIRM}": {"person_id": FIRM, "sequence": k} for k, about in enumerate(told, start=1)}
    services: dict[str, Any] = {
        "identity": {},
        "posting": {
            "gigs": {GIG: gig | {"closed_reason": None}},
            "employers": {FIRM: {"status": "verified"}},
            "placements": {id: {"stands": stands} for id, stands in all_.items()},
        },
        "workers": {"workers": {f"worker-{n}": {} for n in (1, 2, 3)}, "presences": {}},
        "matching": {
            "gigs": {GIG: gig},
            "seats": {
                f"{GIG}:{seat}": {"gig_id": GIG, "open": False, "placement_id": id}
                for id, (_, seat) in standing.items()
            },
            "waiting": {},
            "profiles": {f"worker-{n}": {"profile": PROFILE} for n in (1, 2, 3)},
            "commitments": {worker: {"periods": [{"placement_id": id}]} for id, (worker, _) in standing.items()}
            | {"worker-3": {"periods": []}},
            "offers": {f"offer-{n}": {"ended": "accepted"} for n in (1, 2, 3)},
            "placements": {id: {"status": "placed" if stands else "cancelled"} for id, stands in all_.items()},
        },
        "rights": {
            "agreements": {id: {"void_at": None if stands else "then"} for id, stands in all_.items()},
            "covers": {id: {"status": "active" if stands else "withdrawn"} for id, stands in all_.items()},
            "shifts": {id: {"status": "planned" if stands else "cancelled"} for id, stands in all_.items()},
        },
        "notify": {"messages": messages, "deliveries": {}},
    }
    own: dict[str, Any] = {"_outbox": {}, "_dead": {}, "_blocked": {}, "_fences": {}, "_fuses": {}}
    return {name: {**copy.deepcopy(own), **found} for name, found in services.items()}


def event(image: Image, type_: str, subject: str) -> Said:
    return next(said for said in image.log if (said.type, said.subject) == (type_, subject))


def test_a_market_where_all_went_well_is_clean(image: Image) -> None:
    report = judge(image)
    assert report.findings == []
    assert report.line(kills=7) == "kills=7 lost=0 doubled=0 overfilled=0 overlaps=0 dead=planted"


# --- damage --------------------------------------------------------------------------------------------------------


def lost_event(image: Image) -> None:
    image.log.remove(event(image, "placement-made", "placement-2"))


def gap(image: Image) -> None:
    event(image, "gig-filled", GIG).sequence = 3


def inversion(image: Image) -> None:
    made, cancelled = event(image, "placement-made", "placement-3"), event(image, "placement-cancelled", "placement-3")
    a, b = image.log.index(made), image.log.index(cancelled)
    image.log[a], image.log[b] = cancelled, made


def changed_repeat(image: Image) -> None:
    image.changed.append("some-id")


def other_key(image: Image) -> None:
    event(image, "gig-filled", GIG).key = "430102"


def said_twice(image: Image) -> None:
    again = copy.copy(event(image, "agreement-made", "placement-1"))
    again.id, again.sequence = "another", 2
    image.log.append(again)


def full_at_a_prefix_only(image: Image) -> None:
    """The third placement is in the log before the first is cancelled; at the end there are two."""
    late = event(image, "placement-cancelled", "placement-3")
    image.log.remove(late)
    image.log.append(late)


def full_at_a_commit_only(image: Image) -> None:
    late = next(change for change in image.standing if not change.stands)
    image.standing.remove(late)
    image.standing.append(late)


def overfilled(image: Image) -> None:
    image.standing.append(Change("worker-5", "placement-5", GIG, 3, MORNING, stands=True))


def overlap_at_a_prefix_only(image: Image) -> None:
    come_and_gone(image, "2026-12-01 11:59", "2026-12-01 13:00")


def come_and_gone(image: Image, *period: str) -> None:
    """One more placement of a worker, which is cancelled again."""
    start, end = period
    change = Change(WORKER, "placement-9", GIG, 9, (start, end), stands=True)
    image.standing += [change, change._replace(stands=False)]


def overlap_in_the_log_only(image: Image) -> None:
    """A cancellation stands in the log behind the placement that it made possible."""
    early = event(image, "placement-cancelled", "placement-3")
    made = event(image, "placement-made", "placement-1")
    for said in image.log:
        if said.body.get("worker_id") == "worker-3":
            said.body["worker_id"] = WORKER
    image.log.remove(early)
    image.log.insert(image.log.index(made) + 1, early)


def no_cause(image: Image) -> None:
    event(image, "placement-made", "placement-1").body["offer_id"] = "offer-nobody-made"


def nobody_asked(image: Image) -> None:
    image.history.calls = [call for call in image.history.calls if call.command != "post"]


def without_effect(image: Image) -> None:
    call = image.history.call("somebody", "post", "key", {"who": FIRM})
    image.history.ended(call, "ok", answer={"gig_id": "gig-that-is-nowhere"})


def two_answers(image: Image) -> None:
    call = image.history.call("somebody", "accept", "key", {"offer_id": "offer-1"})
    image.history.ended(call, "ok", answer={"placement_id": "placement-2"})


def answered_otherwise(image: Image) -> None:
    image.history.ok("accept")[0].other = {"placement_id": "placement-2"}


def stale_read(image: Image) -> None:
    image.history.wrong.append("gig gig-1 was confirmed and cannot be read")


def set_(*path: Any) -> Callable[[Image], None]:
    """Damage that sets something in the databases; `del` as the value takes it away."""

    def do(image: Image) -> None:
        *way, last, value = path
        at: Any = image.databases
        for step in way:
            at = at[step]
        if value == "del":
            del at[last]
        else:
            at[last] = value

    do.__name__ = " ".join(map(str, path))
    return do


def unhandled(image: Image) -> None:
    image.inbox["rights"].remove(event(image, "placement-made", "placement-1").id)


def handled_and_not_said(image: Image) -> None:
    image.inbox["rights"].add("an event that was rolled back")


def not_set_aside(image: Image) -> None:
    del image.databases["matching"]["_dead"]["posting.gig:0:2"]
    image.letters["matching"].clear()


def set_aside_and_good(image: Image) -> None:
    letter = {"topic": "posting.gig", "partition": 0, "offset": 0, "kind": "failed", "reason": "KeyError"}
    image.databases["matching"]["_dead"]["gig-posted"] = letter


def letter_not_told(image: Image) -> None:
    image.letters["notify"].clear()


DAMAGE: list[tuple[Callable[[Image], None], str, str]] = [
    (lost_event, "lost", "accept of placement-2 was confirmed and has no placement-made"),
    (gap, "lost", "3 comes after 1"),
    (inversion, "lost", "2 comes after 0"),
    (changed_repeat, "doubled", "not alike"),
    (other_key, "lost", "its key has changed"),
    (said_twice, "doubled", "agreement-made of placement-1: 2 times"),
    (full_at_a_prefix_only, "overfilled", "by the log: seat 1 is held twice"),
    (full_at_a_commit_only, "overfilled", "by the commits: seat 1 is held twice"),
    (overfilled, "overfilled", "3 placements in 2 seats"),
    (overlap_at_a_prefix_only, "overlaps", "placement-1 and placement-9"),
    (overlap_in_the_log_only, "overlaps", "placement-3 and placement-1"),
    (no_cause, "doubled", "without its cause"),
    (nobody_asked, "doubled", "gig-posted that no post asked for"),
    (without_effect, "lost", "gig-that-is-nowhere was confirmed"),
    (two_answers, "doubled", "offer offer-1 was confirmed as 2 placements"),
    (answered_otherwise, "doubled", "answered twice, and not alike"),
    (stale_read, "lost", "cannot be read"),
    (set_("posting", "gigs", GIG, "placed", 1), "lost", "posting: gig gig-1"),
    (set_("posting", "gigs", GIG, "placed", 3), "doubled", "posting: gig gig-1"),
    (set_("posting", "gigs", GIG, "status", "open"), "lost", "posting: gig gig-1"),
    (set_("posting", "gigs", GIG, "revision", 2), "lost", "amendments said"),
    (set_("posting", "placements", "placement-1", "stands", False), "lost", "posting: placements"),
    (set_("posting", "employers", FIRM, "status", "pending"), "lost", "verified employers"),
    (set_("workers", "presences", {WORKER: {"checkin_id": "checkin-1", "districts": [DISTRICT]}}), "lost", "who waits"),
    (set_("workers", "workers", WORKER, "del"), "lost", "workers: registered"),
    (set_("matching", "gigs", GIG, "closed", "employer"), "lost", "matching: gigs"),
    (set_("matching", "seats", f"{GIG}:1", "del"), "lost", "taken seats"),
    (set_("matching", "seats", f"{GIG}:7", {"gig_id": GIG, "open": True}), "lost", "seats of gig-1"),
    (set_("matching", "waiting", "checkin-1:430111", {}), "lost", "matching: who waits"),
    (set_("matching", "profiles", WORKER, {"profile": {"revision": 4}}), "lost", "matching: profiles"),
    (set_("matching", "commitments", WORKER, {"periods": []}), "lost", "commitments of worker-1"),
    (set_("matching", "commitments", WORKER, "del"), "lost", "commitments nobody has"),
    (set_("matching", "offers", "offer-1", {"ended": None}), "lost", "matching: offers"),
    (set_("matching", "placements", "placement-3", {"status": "placed"}), "lost", "matching: placements"),
    (set_("rights", "agreements", "placement-1", "del"), "lost", "rights: agreements"),
    (set_("rights", "covers", "placement-3", {"status": "active"}), "lost", "rights: covers"),
    (set_("rights", "shifts", "placement-9", {"status": "planned"}), "lost", "rights: shifts"),
    (set_("notify", "messages", f"offer-made:offer-1:{WORKER}", "del"), "lost", "nobody was told"),
    (
        set_("notify", "messages", f"offer-made:offer-7:{WORKER}", {"person_id": WORKER, "sequence": 4}),
        "doubled",
        "is not in the log",
    ),
    (
        set_("notify", "messages", f"gig-filled:{GIG}:2:{FIRM}", {"person_id": FIRM, "sequence": 6}),
        "doubled",
        "numbers of employer-1's messages",
    ),
    (set_("notify", "deliveries", "some", {"state": "waiting"}), "lost", "deliveries that wait"),
    (set_("notify", "deliveries", "some", {"state": "made"}), "lost", "deliveries said"),
    (set_("rights", "_outbox", "row", {}), "lost", "rights: unpublished"),
    (set_("rights", "_blocked", "stream", {}), "dead", "blocked streams"),
    (set_("rights", "_fuses", "rights", {}), "dead", "fuse"),
    (set_("rights", "_fences", "rights:matching.placement:0", {"next": 1}), "lost", "is read to 1 of"),
    (unhandled, "lost", "was never handled"),
    (handled_and_not_said, "doubled", "is not in the log"),
    (not_set_aside, "dead", "was not set aside"),
    (set_aside_and_good, "dead", "was set aside: failed"),
    (letter_not_told, "dead", "letters in its topic"),
]


@pytest.mark.parametrize(("damage", "kind", "text"), DAMAGE, ids=lambda value: getattr(value, "__name__", None))
def test_damage_is_found(damage: Callable[[Image], None], kind: str, text: str, image: Image) -> None:
    damage(image)
    report = judge(image)
    assert [f for f in report.findings if f.kind == kind and text in f.text], [str(f) for f in report.findings]
    assert not report.clean


def test_touching_shifts_do_not_overlap(image: Image) -> None:
    come_and_gone(image, *NOON)
    assert not judge(image).times["overlaps"]


def test_a_call_whose_end_nobody_knows_may_have_its_effect_or_not(image: Image) -> None:
    for call in image.history.calls:
        if call.command == "post":
            call.status, call.answer = "unknown", {}
    image.history.call("somebody", "close", "key", {"gig_id": GIG})
    assert judge(image).clean


def test_a_refusal_after_a_call_of_which_nothing_was_heard_may_have_had_its_effect(image: Image) -> None:
    for call in image.history.calls:
        if call.command == "accept" and call.facts["offer_id"] == "offer-1":
            call.status, call.answer, call.unheard = "failed", {}, 1
    assert judge(image).clean
    for call in image.history.calls:
        call.unheard = 0
    assert judge(image).times["doubled"] == 1


def test_findings_beyond_bounds_are_still_counted() -> None:
    report = Report()
    for n in range(3_000):
        report.add("lost", str(n))
    assert (len(report.findings), report.times["lost"], report.clean) == (2_000, 3_000, False)
