"""The checker finds each kind of damage, and nothing in a market where all went well."""

import copy
import os
from collections.abc import Callable
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from pymongo import AsyncMongoClient

from shared.run import load
from tests.chaos.checker import Report, judge
from tests.chaos.history import History
from tests.chaos.image import KEPT, Change, Image, Said, read_commits
from tests.chaos.model import expected
from tests.chaos.stack import REACTING

CANCELLED = "placement-cancelled"
TEXTED = ("offer-made:offer-1", "placement-made:placement-1", "agreement-made:placement-1")
GIG, WORKER, FIRM, DISTRICT = "gig-1", "worker-1", "employer-1", "430111"
MORNING, NOON = ("2026-12-01T08:00:00Z", "2026-12-01T12:00:00Z"), ("2026-12-01T12:00:00Z", "2026-12-01T16:00:00Z")
PAY = {"amount_fen": 2_300, "unit": "hour", "mode": "same-day"}
TERMS = {
    "employer_id": FIRM,
    "employer_name": "分拨中心（虚构）",
    "title": "快件分拣员",
    "place": {"lat": 28.112, "lon": 113.02, "address": "某分拨中心（虚构）"},
    "period": {"start": MORNING[0], "end": MORNING[1]},
    "headcount": 2,
    "pay": PAY,
    "valid_until": MORNING[0],
}
ROW_TERMS = TERMS | {
    "period": {"start": datetime(2026, 12, 1, 8), "end": datetime(2026, 12, 1, 12)},  # noqa: DTZ001 - as pymongo has it
    "valid_until": datetime(2026, 12, 1, 8),  # noqa: DTZ001
}
"""The same as a database has them."""
PROFILE = {
    "skills": [],
    "floor_fen_per_hour": 1_500,
    "reach_m": 5_000,
    "tier": 0,
    "accepts_automatically": False,
    "revision": 0,
}
PAIR: dict[str, Any] = {"worker_id": WORKER, "employer_id": "employer-2"}
SHUNNED: dict[str, Any] = {"who": WORKER, "employer_id": "employer-2"}
CAME, OFFERED, PLACED, GONE = (f"2026-11-30T00:0{n}:00.123456Z" for n in range(4))
TODAY = date(2026, 11, 30).toordinal()
UNTIL, VERIFIED_UNTIL = "2026-11-30T16:00:00Z", "2027-01-01T00:00:00Z"


class World:
    """A good image, put together as the services would have."""

    def __init__(self, folder: Path) -> None:
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.image = Image(History(folder / "history.jsonl"), policies=self.policies)
        self.ends: dict[str, int] = {}

    def say(self, topic: str, type_: str, subject: str, n: int = 1, **body: Any) -> Said:
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        said = Said(topic, 0, offset, "key", f"{type_}:{subject}:{n}", type_, subject, n, body, PLACED)
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
    world.say("workers.worker", "worker-registered", worker, worker_id=worker, district=DISTRICT, profile=PROFILE)
    world.call("check-in", answer={"checkin_id": checkin, "districts": [DISTRICT]}, who=worker)
    presence: dict[str, Any] = {
        "presence_id": f"{checkin}:{DISTRICT}",
        "checkin_id": checkin,
        "worker_id": worker,
        "district": DISTRICT,
    }
    came: dict[str, Any] = {"cell": "89411d74a3bffff", "station_id": None, "at": CAME, "until": UNTIL}
    world.say("workers.presence", "worker-checked-in", f"{checkin}:{DISTRICT}", **presence, **came, profile=PROFILE)
    times: dict[str, Any] = {"checked_in_at": CAME, "made_at": OFFERED, "expires_at": UNTIL}
    world.say("matching.offer", "offer-made", offer, offer_id=offer, terms=TERMS, weights="default-1", **times, **who)
    world.call("accept", answer={"placement_id": id}, who=worker, offer_id=offer)
    made: dict[str, Any] = {"placement_id": id, "offer_id": offer, "seat": seat, **who}
    world.say("matching.placement", "placement-made", id, terms=TERMS, at=PLACED, **made)
    world.say("workers.presence", "worker-checked-out", f"{checkin}:{DISTRICT}", 2, reason="placed", **presence)
    agreed: dict[str, Any] = {
        "sha256": sha256(agreement(n, seat)).hexdigest(),
        "policy_id": f"scheme:{id}",
        "starts_at": MORNING[0],
    }
    world.say("rights.agreement", "agreement-made", id, placement_id=id, **agreed, **who)
    policy = {"reference": f"scheme:{id}", "policy_id": f"policy-{n}", "keys": [f"enrol:scheme:{id}"]}
    world.policies[id] = [policy | {"withdrawn_at": GONE if cancelled else None}]
    confirmed = {"placement_id": id, "policy_id": f"policy-{n}", "at": PLACED}
    world.say("rights.agreement", "cover-confirmed", id, 2, **confirmed, **who)
    world.image.standing.append(Change(worker, id, GIG, seat, MORNING, stands=True))
    if cancelled:
        world.call("cancel", placement_id=id)
        world.say("matching.placement", "placement-cancelled", id, 2, **made, by="worker", at=GONE)
        world.image.standing.append(Change(worker, id, GIG, seat, MORNING, stands=False))


def agreement(n: int, seat: int) -> bytes:
    names = {"offer_id": f"offer-{n}", "gig_id": GIG, "worker_id": f"worker-{n}", "employer_id": FIRM}
    return orjson.dumps(names | {"seat": seat, "district": DISTRICT, "terms": TERMS, "agreed_at": PLACED})


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return build(tmp_path)


def build(folder: Path) -> Image:
    """Two placements stand in a gig of two seats, one was cancelled, one call was refused, one record is poison."""
    world = World(folder)
    image = world.image
    world.call("verify", employer_id=FIRM)
    world.say("posting.employer", "employer-verified", FIRM, employer_id=FIRM, verified_until=VERIFIED_UNTIL)
    world.call("post", answer={"gig_id": GIG}, who=FIRM)
    world.say("posting.gig", "gig-posted", GIG, gig_id=GIG, district=DISTRICT, terms=TERMS)
    placement(world, 3, 1, cancelled=True)
    placement(world, 1, 1)
    placement(world, 2, 2)
    for n in (1, 2):
        world.call("block", **SHUNNED)
        world.say("workers.block", "pair-blocked", "block-1", 2 * n - 1, block_id="block-1", until=None, **PAIR)
        if n == 1:
            world.call("unblock", **SHUNNED)
            world.say("workers.block", "pair-unblocked", "block-1", 2, block_id="block-1", **PAIR)
    world.call("set-contact", who=WORKER)
    for about in TEXTED:
        world.say("notify.delivery", "delivery-made", f"{about}:{WORKER}:sms", about=about, person_id=WORKER)
    world.call("accept", status="failed", who="worker-4", offer_id="offer-4")
    world.say("posting.gig", "gig-filled", GIG, 2, gig_id=GIG, district=DISTRICT, placed=2)
    image.poison["posting.gig", 0, 2] = None
    image.ends = {(topic, 0): end for topic, end in world.ends.items()} | {("posting.gig", 0): 3}
    image.databases = databases()
    for service in REACTING:
        reactions = load(service).reactions
        full = {said.id: f"{said.topic.partition('.')[0]}.{said.type}.v1" for said in image.log}
        image.inbox[service] = {said.id for said in image.log if full[said.id] in reactions.kinds}
        own = image.databases[service]
        own["_fences"] |= {
            f"{service}:{topic}:0": {"next": image.ends.get((topic, 0), 0)} for topic in reactions.topics
        }
        for said in image.log:
            if said.topic.startswith(f"{service}."):
                own["_streams"][f"{said.topic}:{said.subject}"] = {"last": said.sequence}
        if "posting.gig" in reactions.topics:
            letter = {"topic": "posting.gig", "partition": 0, "offset": 2, "kind": "unreadable", "reason": "no type"}
            own["_dead"]["posting.gig:0:2"] = letter
            image.letters[service] = {"posting.gig:0:2"}
    return image


def databases() -> dict[str, Any]:
    """What each service remembers, written down by hand for this market."""
    gig = {"district": DISTRICT, "terms": ROW_TERMS}
    work = {"title": "快件分拣员", "employer_name": "分拨中心（虚构）", "address": "某分拨中心（虚构）"}
    work |= {"start": MORNING[0], "end": MORNING[1]}
    own: dict[str, Any] = {
        name: {} for name in ("_outbox", "_dead", "_blocked", "_fences", "_fuses", "_streams", "_timers")
    }
    found: dict[str, Any] = {
        service: copy.deepcopy(own | {name: {} for name in names}) for service, names in KEPT.items()
    }
    posting, workers, matching = found["posting"], found["workers"], found["matching"]
    rights, notify = found["rights"], found["notify"]

    def tell(about: str, person: str, facts: dict[str, Any], *, context: str | None = None) -> None:
        box = notify["mailboxes"].setdefault(person, {"last": 0})
        box["last"] += 1
        kind, subject = about.split(":")[:2]
        refs = {"placement_id": subject} if subject.startswith("placement") else {}
        refs |= {"offer_id": f"offer-{subject[-1]}"} if kind in ("offer-made", "placement-made", CANCELLED) else {}
        refs |= {} if person == FIRM and kind == "employer-verified" else {"gig_id": GIG}
        notify["messages"][f"{about}:{person}"] = {
            "person_id": person,
            "sequence": box["last"],
            "part": "employer" if person == FIRM else "worker",
            "kind": kind,
            "facts": facts,
            "refs": refs,
            "context": f"{context}:{person}" if context else None,
        }

    posting["gigs"][GIG] = gig | {
        "status": "filled",
        "closed_reason": None,
        "placed": 2,
        "revision": 1,
        "posted_at": PLACED,
    }
    posting["employers"][FIRM] = {"status": "verified", "verified_until": VERIFIED_UNTIL}
    posting["_timers"] = {
        f"gig-expiry:{GIG}": {"due_at": MORNING[0]},
        f"verification-end:{FIRM}": {"due_at": VERIFIED_UNTIL},
        f"verification-warning:{FIRM}": {"due_at": "2026-12-02T00:00:00Z"},
    }
    workers["blocks"][f"worker:{WORKER}:employer-2"] = {"block_id": "block-1", "until": None, **PAIR}
    matching["blocks"]["block-1"] = {"until": None, **PAIR}
    matching["gigs"][GIG] = gig | {"edition": 1, "closed": None}
    notify["gigs"][GIG] = {"employer_id": FIRM, "title": "快件分拣员", "full": True, "times_full": 1}
    tell("employer-verified:employer-1:20270101T000000", FIRM, {"verified_until": VERIFIED_UNTIL})
    for n, seat, stands in ((3, 1, False), (1, 1, True), (2, 2, True)):
        worker, id, offer = f"worker-{n}", f"placement-{n}", f"offer-{n}"
        parties = {"worker_id": worker, "employer_id": FIRM, "gig_id": GIG, "district": DISTRICT}
        gone = None if stands else GONE
        posting["placements"][id] = {"gig_id": GIG, "stands": stands}
        workers["workers"][worker] = PROFILE | {"district": DISTRICT}
        matching["profiles"][worker] = {"profile": PROFILE, "days": [TODAY]}
        matching["offers"][offer] = parties | {
            "terms": ROW_TERMS,
            "weights": "default-1",
            "checked_in_at": CAME,
            "made_at": OFFERED,
            "expires_at": UNTIL,
            "open": False,
            "ended": "accepted",
            "reason": None,
            "refused": not stands,
            "placement_id": id,
        }
        matching["placements"][id] = parties | {
            "offer_id": offer,
            "seat": seat,
            "terms": ROW_TERMS,
            "status": "placed" if stands else "cancelled",
            "at": PLACED,
            "checked_in_at": CAME,
            "cancelled_by": None if stands else "worker",
            "cancelled_at": gone,
            "arrive_by": None,
            "attending_at": None,
            "cancelled_for": None,
            "late": False,
            "excuse": None,
            "excuse_state": None,
        }
        if stands:
            matching["seats"][f"{GIG}:{seat}"] = {
                "gig_id": GIG,
                "number": seat,
                "district": DISTRICT,
                "open": False,
                "placement_id": id,
            }
        matching["commitments"][worker] = {
            "periods": [{"start": MORNING[0], "end": MORNING[1], "placement_id": id, "employer_id": FIRM}]
            if stands
            else [],
            "offer_id": None,
            "placed_at": PLACED,
            "turns": {id: TODAY},
            "declined": [],
            "until": MORNING[1] if stands else None,
        }
        text = agreement(n, seat)
        rights["agreements"][id] = {
            "parties": parties,
            "text": text,
            "sha256": sha256(text).hexdigest(),
            "void_at": gone,
            "void_by": None if stands else "worker",
        }
        rights["covers"][id] = {
            "parties": parties,
            "policy_id": f"policy-{n}",
            "period": TERMS["period"],
            "status": "active" if stands else "withdrawn",
            "withdrawn_at": gone,
        }
        rights["shifts"][id] = {
            "parties": parties,
            "period": TERMS["period"],
            "pay": PAY,
            "status": "planned" if stands else "cancelled",
            "arrive_by": None,
            "started_by": "worker",
            "started_at": None,
            "ended_at": None,
            "minutes": None,
        }
        if stands:
            rights["_timers"][f"no-show:{id}"] = {"due_at": MORNING[0]}
        tell(f"offer-made:{offer}", worker, work | {"amount_fen": 2_300, "unit": "hour", "expires_at": UNTIL})
        for person in (worker, FIRM):
            tell(f"placement-made:{id}", person, work | {"seat": seat})
        tell(f"agreement-made:{id}", worker, {"starts_at": MORNING[0]}, context=f"placement-made:{id}")
        for person in () if stands else (worker, FIRM):
            tell(f"{CANCELLED}:{id}", person, {"by": "worker", "notice": "in-time"}, context=f"placement-made:{id}")
    tell(f"gig-filled:{GIG}:1", FIRM, {"title": "快件分拣员", "placed": 2})
    for about in TEXTED:
        notify["deliveries"][f"{about}:{WORKER}:sms"] = {
            "person_id": WORKER,
            "message_id": f"{about}:{WORKER}",
            "about": about,
            "channel": "sms",
            "state": "made",
        }
    return found


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


def fence_back(image: Image) -> None:
    image.turned_back.append("matching:posting.gig:0 from 7 to 3")


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
    come_and_gone(image, "2026-12-01T11:59:00Z", "2026-12-01T13:00:00Z")


def a_minute_too_long_a_day(image: Image) -> None:
    """Beside the four hours that the worker has promised on that day in China."""
    come_and_gone(image, "2026-11-30T23:00:00Z", "2026-12-01T06:01:00Z")


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


def other_terms(image: Image) -> None:
    body = event(image, "offer-made", "offer-1").body
    body["terms"] = TERMS | {"pay": PAY | {"amount_fen": 1}}


def waited_elsewhere(image: Image) -> None:
    event(image, "worker-checked-in", f"checkin-1:{DISTRICT}").body["district"] = "430102"


def somebody_elses(image: Image) -> None:
    event(image, "placement-made", "placement-1").body["worker_id"] = "worker-2"


def also(image: Image, topic: str, type_: str, subject: str, n: int, **body: Any) -> None:
    who = {"worker_id": WORKER, "employer_id": FIRM, "gig_id": GIG, "district": DISTRICT}
    image.log.append(Said(topic, 0, 99, "key", f"{type_}:{n}", type_, subject, n, who | body, PLACED))


def expired_early(image: Image) -> None:
    also(image, "posting.gig", "gig-closed", GIG, 3, reason="expired")


def ran_out_early(image: Image) -> None:
    also(image, "matching.offer", "offer-expired", "offer-1", 2, offer_id="offer-1", reason="time")


def changed_unasked(image: Image) -> None:
    also(image, "workers.worker", "worker-changed", WORKER, 2, profile=PROFILE | {"revision": 1})


def blocked_unasked(image: Image) -> None:
    also(image, "workers.block", "pair-blocked", "block-1", 4, block_id="block-1", until=None, **PAIR)


def started_unasked(image: Image) -> None:
    also(image, "rights.shift", "shift-started", "placement-1", 1, placement_id="placement-1", at=GONE)


def missed_early(image: Image) -> None:
    also(image, "rights.shift", "shift-missed", "placement-1", 1, placement_id="placement-1", at=GONE)


def started_and_missed(image: Image) -> None:
    started_unasked(image)
    also(image, "rights.shift", "shift-missed", "placement-1", 2, placement_id="placement-1", at=GONE)


def given_up_for_nothing(image: Image) -> None:
    event(image, CANCELLED, "placement-3").body |= {"by": "market", "reason": "no-show"}


def unattended_though_confirmed(image: Image) -> None:
    event(image, CANCELLED, "placement-3").body |= {"by": "market", "reason": "unattended"}
    also(image, "matching.placement", "attendance-confirmed", "placement-3", 3, placement_id="placement-3", at=GONE)


def not_compensated(image: Image) -> None:
    event(image, CANCELLED, "placement-3").body |= {"by": "employer", "late": True, "compensation_fen": 9_200}


def told(command: str, answer: dict[str, Any] | None = None, **facts: Any) -> Callable[[Image], None]:
    """A client was told that a command is done, and it is not."""

    def do(image: Image) -> None:
        call = image.history.call("somebody", command, "key", facts)
        image.history.ended(call, "ok", answer=answer)

    do.__name__ = f"told {command}"
    return do


def worked_for_nothing(image: Image) -> None:
    shifts: Any = image.databases["rights"]["shifts"]
    shifts["placement-1"] |= {"status": "ended", "minutes": 90, "pieces": None}


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


def policies(image: Image) -> dict[str, list[dict[str, Any]]]:
    assert image.policies is not None
    return image.policies


def never_enrolled(image: Image) -> None:
    policies(image)["placement-1"].clear()
    image.databases["rights"]["covers"]["placement-1"]["policy_id"] = None  # type: ignore[index]


def enrolled_twice(image: Image) -> None:
    policies(image)["placement-1"][0]["keys"].append("another")


def withdrawn_for_nothing(image: Image) -> None:
    policies(image)["placement-1"][0]["withdrawn_at"] = GONE


def never_withdrawn(image: Image) -> None:
    policies(image)["placement-3"][0]["withdrawn_at"] = None


def enrolled_nobody(image: Image) -> None:
    policies(image)["placement-9"] = policies(image)["placement-1"]


DAMAGE: list[tuple[Callable[[Image], None], str, str]] = [
    (lost_event, "lost", "accept of placement-2 was confirmed and has no placement-made"),
    (gap, "lost", "3 comes after 1"),
    (inversion, "lost", "2 comes after 0"),
    (changed_repeat, "doubled", "not alike"),
    (fence_back, "doubled", "went back"),
    (other_key, "lost", "its key has changed"),
    (said_twice, "doubled", "agreement-made of placement-1: 2 times"),
    (full_at_a_prefix_only, "overfilled", "by the log: seat 1 is held twice"),
    (full_at_a_commit_only, "overfilled", "by the commits: seat 1 is held twice"),
    (overfilled, "overfilled", "3 placements in 2 seats"),
    (overlap_at_a_prefix_only, "overlaps", "placement-1 and placement-9"),
    (a_minute_too_long_a_day, "overlaps", "worker-1: 661 minutes of 2026-12-01"),
    (overlap_in_the_log_only, "overlaps", "placement-3 and placement-1"),
    (no_cause, "doubled", "without its cause"),
    (nobody_asked, "doubled", "gig-posted that no post asked for"),
    (without_effect, "lost", "gig-that-is-nowhere was confirmed"),
    (two_answers, "doubled", "offer offer-1 was confirmed as 2 placements"),
    (answered_otherwise, "doubled", "answered twice, and not alike"),
    (stale_read, "lost", "cannot be read"),
    (set_("posting", "gigs", GIG, "placed", 1), "lost", "posting.gigs: gig-1: placed is 1 instead of 2"),
    (set_("posting", "gigs", GIG, "placed", 3), "doubled", "posting.gigs: gig-1: placed is 3 instead of 2"),
    (set_("posting", "gigs", GIG, "status", "open"), "lost", "status for 2 placed: open instead of filled"),
    (set_("posting", "gigs", GIG, "revision", 2), "lost", "amendments said"),
    (set_("posting", "gigs", GIG, "del"), "lost", "posting.gigs: gig-1 is not there"),
    (set_("posting", "placements", "placement-9", {}), "doubled", "placement-9 follows from no event"),
    (set_("posting", "_timers", f"gig-expiry:{GIG}", "del"), "lost", "posting._timers: gig-expiry:gig-1 is not there"),
    (set_("workers", "presences", WORKER, {}), "doubled", "workers.presences: worker-1 follows from no event"),
    (set_("workers", "workers", WORKER, "del"), "lost", "workers.workers: worker-1 is not there"),
    (set_("matching", "seats", f"{GIG}:1", "del"), "lost", "matching.seats: gig-1:1 is not there"),
    (set_("matching", "seats", f"{GIG}:7", {"gig_id": GIG, "open": True}), "doubled", "how many gig-1 has: 3 instead"),
    (set_("matching", "waiting", "checkin-1:430111", {}), "doubled", "checkin-1:430111 follows from no event"),
    (set_("matching", "commitments", WORKER, "periods", []), "lost", "matching.commitments: worker-1: periods"),
    (
        set_("matching", "commitments", WORKER, "offer_id", "offer-1"),
        "lost",
        "matching.commitments: worker-1: offer_id",
    ),
    (set_("rights", "agreements", "placement-1", "del"), "lost", "rights.agreements: placement-1 is not there"),
    (set_("rights", "agreements", "placement-1", "text", agreement(1, 2)), "lost", "its text: seat is 2 instead of 1"),
    (set_("rights", "agreements", "placement-1", "text", b"{}"), "lost", "hash of its text"),
    (
        set_("rights", "cancellations", "placement-1", {}),
        "doubled",
        "rights.cancellations: placement-1 follows from no",
    ),
    (set_("notify", "messages", f"offer-made:offer-1:{WORKER}", "del"), "lost", "offer-made:offer-1:worker-1 is not"),
    (
        set_("notify", "messages", f"gig-filled:{GIG}:2:{FIRM}", {"person_id": FIRM, "sequence": 6}),
        "doubled",
        "gig-filled:gig-1:2:employer-1 follows from no event",
    ),
    (set_("notify", "messages", f"offer-made:offer-1:{WORKER}", "sequence", 2), "doubled", "numbers of worker-1's"),
    (set_("notify", "deliveries", f"{TEXTED[0]}:{WORKER}:sms", "state", "waiting"), "lost", "still waiting"),
    (
        set_("matching", "_streams", "matching.placement:placement-1", {"last": 2}),
        "lost",
        "numbers in the log: 1 instead",
    ),
    (set_("matching", "_streams", "matching.placement:placement-1", "del"), "doubled", "numbers in the log: 1 instead"),
    (expired_early, "doubled", "gig gig-1 expired before its time"),
    (ran_out_early, "doubled", "offer offer-1 ran out before its time"),
    (told("block", who=WORKER, employer_id="employer-9"), "lost", "1 were confirmed, 0 are said"),
    (blocked_unasked, "doubled", "2 were confirmed, 3 are said"),
    (changed_unasked, "doubled", "worker worker-1: 1 changes, 0 asked for"),
    (started_unasked, "doubled", "1 shift-started that no start-shift asked for"),
    (told("change", who=WORKER, floor=1), "lost", "worker worker-1: a change was confirmed and is not said"),
    (told("start-shift", placement_id="placement-1"), "lost", "start-shift of placement-1 was confirmed"),
    (told("end-shift", placement_id="placement-1"), "lost", "end-shift of placement-1 was confirmed"),
    (told("paid", placement_id="placement-1"), "lost", "pay of placement-1 was said to be paid and is not"),
    (told("cancel", placement_id="placement-1"), "lost", "cancel of placement-1 was confirmed"),
    (told("decline", offer_id="offer-1"), "lost", "decline of offer-1 was confirmed"),
    (told("check-out", checkin_id="checkin-9"), "lost", "check-out of checkin-9 was confirmed"),
    (
        told("amend", {"revision": 1}, gig_id=GIG, changes={"headcount": 5}),
        "lost",
        "its headcount was confirmed to be 5",
    ),
    (worked_for_nothing, "lost", "pay due of placement-1: 0 instead of 3450"),
    (missed_early, "doubled", "shift placement-1 was missed before its time"),
    (started_and_missed, "doubled", "shift placement-1 was started and missed"),
    (given_up_for_nothing, "doubled", "placement placement-3 was given up, and its shift was not missed"),
    (unattended_though_confirmed, "doubled", "though its worker had said they would come"),
    (never_enrolled, "lost", "cover placement-1 is active and not in the insurer's books"),
    (set_("rights", "covers", "placement-1", "ask", "enrol"), "lost", "cover placement-1: the insurer has not been"),
    (enrolled_twice, "doubled", "cover placement-1 was enrolled 2 times"),
    (withdrawn_for_nothing, "lost", "cover placement-1 is active and was withdrawn"),
    (never_withdrawn, "lost", "cover placement-3 is withdrawn and stands in the insurer's books"),
    (enrolled_nobody, "doubled", "the insurer covers placement-9, which is no placement"),
    (not_compensated, "lost", "compensation due of placement-3: 0 instead of 9200"),
    (other_terms, "doubled", "offer offer-1: terms that its gig never had"),
    (waited_elsewhere, "doubled", "offer offer-1: its worker did not wait there"),
    (somebody_elses, "doubled", "placement-made of placement-1: another worker_id than offer_id offer-1"),
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


def fields() -> list[tuple[str, str, str, str]]:
    """Every field of every document that the good market's log says anything about."""
    with TemporaryDirectory() as folder:
        documents = expected(build(Path(folder)))
    return [
        (service, collection, id, name)
        for service, collections in documents.items()
        for collection, rows in collections.items()
        if (service, collection) != ("matching", "_timers")
        for id, wanted in rows.items()
        if id.endswith(("1", FIRM, WORKER, "sms"))
        for name in wanted
        if (collection, name) != ("seats", "open")  # then it is not a taken one that is missed
    ]


@pytest.mark.parametrize(("service", "collection", "id", "name"), fields())
def test_a_field_that_is_not_as_the_log_says_is_found(
    service: str, collection: str, id: str, name: str, image: Image
) -> None:
    rows: Any = image.databases[service][collection]
    rows[id][name] = other_than(rows[id][name])
    named = f"{service}.{collection}: {id}: {name}"
    assert [finding for finding in judge(image).findings if finding.text.startswith(named)]


def other_than(value: Any) -> Any:
    """Something of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"not {value}"
        case dict():
            return (
                {"more": 1}
                if not value
                else value | {name: other_than(inner) for name, inner in list(value.items())[:1]}
            )
        case list():
            return [*value, "more"]
        case _:
            return "something"


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


async def test_the_database_tells_of_a_fence_that_went_back(mongo_url: str, image: Image) -> None:
    name = f"test_fence_{os.getpid()}"
    forward, back = f"{name}:posting.gig:0", f"{name}:posting.gig:1"
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        try:
            fences = client[name]["_fences"]
            for fence in (forward, back):
                await fences.insert_one({"_id": fence, "next": 0})
                await fences.update_one({"_id": fence}, {"$set": {"next": 7}})
            async with client.start_session() as session, await session.start_transaction():
                await fences.update_one({"_id": forward}, {"$set": {"next": 9}}, session=session)
                await fences.update_one({"_id": back}, {"$set": {"next": 3}}, session=session)
            await read_commits(client, image)
        finally:
            await client.drop_database(name)
    assert [fence for fence in image.turned_back if name in fence] == [f"{back} from 7 to 3"]


async def test_a_transaction_that_gives_a_seat_back_and_takes_it_is_one_step(mongo_url: str, image: Image) -> None:
    """Whatever of it was written first; and a placement that it writes twice is what it was in the end."""
    mark = f"step-{os.getpid()}"
    first, second, third = (f"{mark}-{n}" for n in range(3))
    made = {"worker_id": mark, "gig_id": GIG, "seat": 1, "terms": {"period": {"start": "a", "end": "b"}}}
    ended = {"$set": {"status": "cancelled"}}
    async with AsyncMongoClient[dict[str, Any]](mongo_url) as client:
        placements = client["matching"]["placements"]
        try:
            await placements.insert_one({"_id": first, "status": "placed", **made})
            async with client.start_session() as session, await session.start_transaction():
                for id in (second, third):
                    await placements.insert_one({"_id": id, "status": "placed", **made}, session=session)
                for id in (first, third):
                    await placements.update_one({"_id": id}, ended, session=session)
            await read_commits(client, image)
        finally:
            await placements.delete_many({"worker_id": mark})
    steps = [(change.placement, change.stands) for change in image.standing if change.worker == mark]
    assert steps[0] == (first, True)
    assert set(steps[1:3]) == {(first, False), (third, False)}
    assert steps[3:] == [(second, True)]


def test_findings_beyond_bounds_are_still_counted() -> None:
    report = Report()
    for n in range(3_000):
        report.add("lost", str(n))
    assert (len(report.findings), report.times["lost"], report.clean) == (2_000, 3_000, False)
