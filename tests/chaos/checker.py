"""What must hold after faults: judged from the log, the databases and what clients were told, by code of its own.

| what | where it is looked for |
|---|---|
| an acknowledged command has its event and its effect, once; a refused one none; an unknown one either | `_commands` |
| nothing is said without its cause | `_causes` |
| events of an aggregate are numbered 1 to n, in this order, under one key; no fence goes back | `_sequences` |
| at every prefix of the log and every commit no seat is held twice, no gig has more placements than seats | `_seats` |
| at every commit, and every prefix of a partition, no worker's placements overlap (half-open) | `_overlaps` |
| at every commit no worker has promised more hours than a day and a week may have | `_hours` |
| what is remembered, timers and messages too, is what follows from the log, field by field | `_memory`, model.py |
| each cover is in the insurer's books once, and a void one withdrawn; nothing else is there | `_insured` |
| each event was handled once by each service that reacts to it; dead letters are the planted ones | `_deliveries` |
| nothing waits: outboxes empty, every partition read to its end | `_deliveries` |

The judging is pure: `take` (image.py) reads, `judge` compares.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Any, Literal, NamedTuple

import orjson

from shared.contracts import catalogue
from shared.run import load
from tests.chaos.history import Call, History
from tests.chaos.image import Change, Image, Row, Said, by, take
from tests.chaos.model import differences, expected, plain
from tests.chaos.stack import REACTING

Kind = Literal["lost", "doubled", "overfilled", "overlaps", "dead"]
OF_PLACEMENT = ("placement-cancelled", "excuse-decided", "attendance-asked", "attendance-confirmed")
NO_SHOW_SECONDS = 600.0
"""After a shift's start, or after a substitute is expected, nobody may be called missing sooner."""
MOST = 2_000
"""Findings beyond so many are counted, not kept."""


class Finding(NamedTuple):
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class Report:
    """What was found wrong. `repeats` are events that stand in the log twice: right as long as they are alike."""

    findings: list[Finding] = field(default_factory=list)
    times: Counter[Kind] = field(default_factory=Counter)
    repeats: int = 0
    events: int = 0

    def add(self, kind: Kind, text: str) -> None:
        self.times[kind] += 1
        if len(self.findings) < MOST:
            self.findings.append(Finding(kind, text))

    def same(self, kind: Kind, what: str, found: Any, expected: Any) -> None:
        """Note it when two things that should be alike are not."""
        if found != expected:
            self.add(kind, f"{what}: {_short(found)} instead of {_short(expected)}")

    @property
    def clean(self) -> bool:
        return not self.times

    def line(self, kills: int) -> str:
        figures = " ".join(f"{kind}={self.times[kind]}" for kind in ("lost", "doubled", "overfilled", "overlaps"))
        return f"kills={kills} {figures} dead={self.times['dead'] or 'planted'}"


async def check(*, mongo_url: str, kafka: str, history: History, insurer: str = "") -> Report:
    """Read everything and judge it."""
    return judge(await take(mongo_url, kafka, history, insurer))


def judge(image: Image) -> Report:
    """Judge a market that has come to rest, in which all commands are in the history."""
    return _judged(image, _sequences, _seats, _overlaps, _hours, _causes, _commands, _memory, _insured, _deliveries)


def judge_log(image: Image) -> Report:
    """Judge what was said alone, which must be right at any moment."""
    return _judged(image, _sequences, _seats, _overlaps, _hours, _causes)


def _judged(image: Image, *steps: Callable[[Image, Report], None]) -> Report:
    report = Report(repeats=image.repeats, events=len(image.log))
    for step in steps:
        step(image, report)
    return report


# --- the log alone -------------------------------------------------------------------------------------------------


def _sequences(image: Image, report: Report) -> None:
    last: dict[tuple[str, str], int] = defaultdict(int)
    keys: dict[tuple[str, str], tuple[str, int]] = {}
    for said in image.log:
        stream = said.topic, said.subject
        if said.sequence != last[stream] + 1:
            report.add("lost", f"{said.topic} of {said.subject}: {said.sequence} comes after {last[stream]}")
        last[stream] = max(said.sequence, last[stream])
        if keys.setdefault(stream, (said.key, said.partition)) != (said.key, said.partition):
            report.add("lost", f"{said.topic} of {said.subject}: its key has changed")
    for fence in image.turned_back:
        report.add("doubled", f"the fence {fence} went back")
    for id in image.changed:
        report.add("doubled", f"event {id} stands in the log twice, and not alike")


def _seats(image: Image, report: Report) -> None:
    """A gig's placements are in one partition, so that its every prefix is known; the commits show what no log does.
    Its headcount travels in another topic: the bound that is sound is the largest that was ever posted."""
    most: dict[str, int] = defaultdict(int)
    for said in image.of("gig-posted", "gig-amended"):
        most[said.subject] = max(most[said.subject], said.body["terms"]["headcount"])
    in_log = [_change(said) for said in image.of("placement-made", "placement-cancelled")]
    for where, changes in (("log", in_log), ("commits", image.standing)):
        held: dict[str, dict[str, int]] = defaultdict(dict)
        for change in changes:
            gig, seats = f"{change.gig} by the {where}", held[change.gig]
            seats.pop(change.placement, None)
            if not change.stands:
                continue
            if change.seat in seats.values():
                report.add("overfilled", f"gig {gig}: seat {change.seat} is held twice, by {change.placement} too")
            seats[change.placement] = change.seat
            if len(seats) > most[change.gig]:
                report.add("overfilled", f"gig {gig}: {len(seats)} placements in {most[change.gig]} seats")


def _change(said: Said) -> Change:
    body, period = said.body, said.body.get("terms", {}).get("period", {"start": "", "end": ""})
    span = period["start"], period["end"]
    return Change(
        body["worker_id"], said.subject, body["gig_id"], body["seat"], span, stands=said.type == "placement-made"
    )


def _hours(image: Image, report: Report) -> None:
    """At every commit nobody has promised more than eleven hours of a day in China or 44 of a week from Monday."""
    minutes: dict[tuple[str, str], int] = defaultdict(int)
    held: set[str] = set()
    for change in image.standing:
        if change.stands == (change.placement in held):
            continue
        held ^= {change.placement}
        for span, most, taken in _spans(*change.period):
            minutes[change.worker, span] += taken if change.stands else -taken
            if change.stands and minutes[change.worker, span] > most:
                report.add("overlaps", f"worker {change.worker}: {minutes[change.worker, span]} minutes of {span}")


def _spans(start: str, end: str) -> Iterator[tuple[str, int, int]]:
    """The days and weeks that a period is in, with the most minutes of each and those that it takes."""
    first, last = (datetime.fromisoformat(at.removesuffix("Z")) + timedelta(hours=8) for at in (start, end))
    while first < last:
        midnight = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        taken = ceil((min(last, midnight) - first) / timedelta(minutes=1))
        yield f"{first:%F}", 11 * 60, taken
        yield f"{first:%G week %V}", 44 * 60, taken
        first = midnight


def _overlaps(image: Image, report: Report) -> None:
    """Across districts the log has no order, the commits have; within one partition it must be right in both."""
    said = image.of("placement-made", "placement-cancelled")
    by_commit = [("", change) for change in image.standing]
    by_log = [(f" by the log's partition {each.partition}", _change(each)) for each in said]
    held: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for where, change in (*by_commit, *by_log):
        periods = held[change.worker + where]
        periods.pop(change.placement, None)
        if not change.stands:
            continue
        start, end = change.period
        for other, (from_, until) in periods.items():
            if start < until and from_ < end:
                report.add("overlaps", f"worker {change.worker}: {other} and {change.placement}{where}")
        periods[change.placement] = start, end


def _causes(image: Image, report: Report) -> None:
    def known(*types: str) -> set[str]:
        return {said.subject for said in image.of(*types)}

    gigs, offers, placements = known("gig-posted"), known("offer-made"), known("placement-made")
    workers, presences, employers = known("worker-registered"), known("worker-checked-in"), known("employer-verified")
    told = {f"{said.type}:{said.subject}" for said in image.log}
    causes: Mapping[str, tuple[str, set[str]]] = {
        "employer-verification-ending": ("employer_id", employers),
        "gig-posted": ("terms.employer_id", employers),
        "gig-amended": ("gig_id", gigs),
        "gig-filled": ("gig_id", gigs),
        "gig-reopened": ("gig_id", gigs),
        "gig-closed": ("gig_id", gigs),
        "worker-checked-in": ("worker_id", workers),
        "worker-changed": ("worker_id", workers),
        "worker-checked-out": ("presence_id", presences),
        "offer-made": ("gig_id", gigs),
        "offer-declined": ("offer_id", offers),
        "offer-expired": ("offer_id", offers),
        "placement-made": ("offer_id", offers),
        "placement-cancelled": ("placement_id", placements),
        "excuse-decided": ("placement_id", known("placement-cancelled")),
        "attendance-asked": ("placement_id", placements),
        "attendance-confirmed": ("placement_id", known("attendance-asked")),
        "agreement-made": ("placement_id", placements),
        "cover-confirmed": ("placement_id", known("agreement-made")),
        "cover-refused": ("placement_id", known("agreement-made")),
        "shift-started": ("placement_id", known("agreement-made")),
        "shift-missed": ("placement_id", known("agreement-made")),
        "shift-ended": ("placement_id", known("shift-started")),
        "pay-due": ("placement_id", known("shift-ended", "placement-cancelled")),
        "pay-confirmed": ("placement_id", known("pay-due")),
        "pay-overdue": ("placement_id", known("pay-due")),
        "delivery-made": ("about", told),
        "delivery-failed": ("about", told),
    }
    for said in image.log:
        if said.type not in causes:
            continue
        name, there = causes[said.type]
        cause = said.body["terms"]["employer_id"] if name == "terms.employer_id" else said.body[name]
        if name == "about":  # what follows the subject is the turn
            cause = ":".join(cause.split(":")[:2])
        if cause not in there:
            report.add("doubled", f"{said.type} of {said.subject} without its cause: {name} {cause}")
    once: tuple[str, ...] = (
        "gig-posted",
        "gig-closed",
        "worker-registered",
        "worker-checked-in",
        "worker-checked-out",
        "offer-made",
    )
    once += ("placement-made", "placement-cancelled", "agreement-made", "shift-started", "shift-ended")
    once += ("cover-confirmed", "cover-refused")
    once += ("shift-missed", "excuse-decided", "attendance-confirmed")
    _once(image, report, *once, "pay-due", "pay-confirmed", "pay-overdue", "delivery-made", "delivery-failed")
    ends = Counter(said.body["offer_id"] for said in image.of("offer-declined", "offer-expired", "placement-made"))
    for offer, times in ends.items():
        if times > 1:
            report.add("doubled", f"offer {offer} ended {times} times")
    _no_shows(image, report)
    _alike(image, report)


def _no_shows(image: Image, report: Report) -> None:
    """A shift is started or missed, never both, and missed not before its time; then only a seat is given up so."""
    made = {said.subject: said.body for said in image.of("placement-made")}
    started, missed = ({said.subject for said in image.of(type_)} for type_ in ("shift-started", "shift-missed"))
    for id in sorted(started & missed):
        report.add("doubled", f"shift {id} was started and missed")
    confirmed = {said.subject for said in image.of("attendance-confirmed")}
    for said in image.of("shift-missed"):
        body = made.get(said.subject)
        start = body and (body.get("arrive_by") or body["terms"]["period"]["start"])
        if start and _moment(said.at) < _moment(start) + NO_SHOW_SECONDS:
            report.add("doubled", f"shift {said.subject} was missed before its time")
    for said in image.of("placement-cancelled"):
        if said.body.get("reason") == "unattended" and said.subject in confirmed:
            report.add("doubled", f"placement {said.subject} was given up, though its worker had said they would come")
        if said.body.get("reason") == "no-show" and said.subject not in missed:
            report.add("doubled", f"placement {said.subject} was given up, and its shift was not missed")


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _alike(image: Image, report: Report) -> None:
    """What is said of a cause is what the cause said: an offer's terms the gig's, a placement's the offer's, …"""
    versions: dict[str, list[Any]] = defaultdict(list)
    for said in image.of("gig-posted", "gig-amended"):
        versions[said.subject].append({**said.body["terms"], "headcount": 0})
    present = {
        (said.body["worker_id"], said.body["district"], said.body["at"]) for said in image.of("worker-checked-in")
    }
    offers = {said.subject: said.body for said in image.of("offer-made")}
    made = {said.subject: said.body for said in image.of("placement-made")}
    for id, body in offers.items():
        if {**body["terms"], "headcount": 0} not in versions[body["gig_id"]]:
            report.add("doubled", f"offer {id}: terms that its gig never had")
        if (body["worker_id"], body["district"], body["checked_in_at"]) not in present:
            report.add("doubled", f"offer {id}: its worker did not wait there")
    for said in image.of("offer-expired"):
        if said.body["reason"] == "time" and plain(said.at) < plain(offers.get(said.subject, {}).get("expires_at", "")):
            report.add("doubled", f"offer {said.subject} ran out before its time")
    valid = {said.subject: said.body["terms"]["valid_until"] for said in image.of("gig-posted", "gig-amended")}
    for said in image.of("gig-closed"):
        if said.body["reason"] == "expired" and plain(said.at) < plain(valid.get(said.subject, "")):
            report.add("doubled", f"gig {said.subject} expired before its time")
    whole = "gig_id", "worker_id", "district"
    for types, known, cause, names in (
        (("offer-declined", "offer-expired"), offers, "offer_id", whole),
        (("placement-made",), offers, "offer_id", (*whole, "employer_id", "terms")),
        (
            (*OF_PLACEMENT, "agreement-made", "cover-confirmed", "cover-refused"),
            made,
            "placement_id",
            (*whole, "employer_id"),
        ),
        (("shift-started", "shift-missed", "shift-ended"), made, "placement_id", (*whole, "employer_id")),
        (("pay-due", "pay-confirmed", "pay-overdue"), made, "placement_id", ("worker_id", "district", "employer_id")),
    ):
        for said in image.of(*types):
            of = known.get(said.body[cause], said.body)
            for name in names:
                if said.body[name] != of[name]:
                    report.add(
                        "doubled", f"{said.type} of {said.subject}: another {name} than {cause} {said.body[cause]}"
                    )


def _once(image: Image, report: Report, *types: str) -> None:
    for (type_, subject), times in Counter((said.type, said.subject) for said in image.of(*types)).items():
        if times > 1:
            report.add("doubled", f"{type_} of {subject}: {times} times")


# --- what clients were told ----------------------------------------------------------------------------------------


def _commands(image: Image, report: Report) -> None:
    history = image.history
    for text in history.wrong:
        report.add("lost", text)
    unknown = Counter(call.command for call in history.calls if call.may_be_done)
    for call in history.calls:
        if call.other is not None:
            report.add("doubled", f"{call.command} of key {call.key} was answered twice, and not alike")

    def compare(command: str, type_: str, confirmed: Iterable[str], *, others: Iterable[str] = ()) -> None:
        """Each confirmed subject has its event, and no other has, but those of calls nobody knows the end of."""
        subjects, confirmed = {said.subject for said in image.of(type_)}, set(confirmed)
        for subject in confirmed - subjects:
            report.add("lost", f"{command} of {subject} was confirmed and has no {type_}")
        extra = subjects - confirmed - set(others)
        if len(extra) > unknown[command]:
            report.add("doubled", f"{len(extra)} {type_} that no {command} asked for, such as {min(extra)}")

    compare("post", "gig-posted", (call.answer["gig_id"] for call in history.ok("post")))
    compare("register-worker", "worker-registered", (call.facts["who"] for call in history.ok("register-worker")))
    compare("verify", "employer-verified", (call.facts["employer_id"] for call in history.ok("verify")))
    check_ins = history.ok("check-in")
    presences = (
        f"{call.answer['checkin_id']}:{district}" for call in check_ins for district in call.answer["districts"]
    )
    compare("check-in", "worker-checked-in", presences)
    by_itself = (said.subject for said in image.of("gig-closed") if said.body["reason"] != "employer")
    compare("close", "gig-closed", (call.facts["gig_id"] for call in history.ok("close")), others=by_itself)
    automatic = {worker for worker, events in by(_profiles(image), "worker_id").items() if _automatic(events)}
    compare(
        "accept",
        "placement-made",
        (call.answer["placement_id"] for call in history.ok("accept")),
        others=(said.subject for said in image.of("placement-made") if said.body["worker_id"] in automatic),
    )
    by_market = (said.subject for said in image.of("placement-cancelled") if said.body["by"] == "market")
    asked = (call.facts["placement_id"] for call in history.ok("cancel"))
    compare("cancel", "placement-cancelled", asked, others=by_market)
    compare("decline", "offer-declined", (call.facts["offer_id"] for call in history.ok("decline")))

    cancelled = {said.subject for said in image.of("placement-cancelled")}
    planned = {said.subject: plain(said.body["terms"]["period"]["end"]) for said in image.of("placement-made")}
    automatic_ends = (
        said.subject
        for said in image.of("shift-ended")
        if said.subject in cancelled or plain(said.body["at"]) == planned.get(said.subject)
    )
    for command, type_, others in (
        ("start-shift", "shift-started", ()),
        ("end-shift", "shift-ended", automatic_ends),
        ("confirm-pay", "pay-confirmed", ()),
    ):
        compare(command, type_, (call.facts["placement_id"] for call in history.ok(command)), others=others)
    payments = image.databases["rights"]["payments"]
    for call in history.ok("paid"):
        if payments.get(call.facts["placement_id"], {}).get("paid_at") is None:
            report.add("lost", f"pay of {call.facts['placement_id']} was said to be paid and is not")

    _changes(image, report)
    _check_outs(image, report)
    _blocks(image, report)
    _amendments(image, report)
    placements: dict[str, set[str]] = defaultdict(set)
    for call in history.ok("accept"):
        placements[call.facts["offer_id"]].add(call.answer["placement_id"])
    for offer, named in placements.items():
        if len(named) > 1:
            report.add("doubled", f"offer {offer} was confirmed as {len(named)} placements")
    cancels = Counter(call.facts["placement_id"] for call in history.ok("cancel"))
    for placement, times in cancels.items():
        if times > 1:
            report.add("doubled", f"placement {placement} was cancelled {times} times")


def _profiles(image: Image) -> list[Said]:
    return image.of("worker-registered", "worker-changed")


def _automatic(events: Sequence[Said]) -> bool:
    return any(said.body["profile"]["accepts_automatically"] for said in events)


def _changes(image: Image, report: Report) -> None:
    """A change of a profile that changes nothing says nothing."""
    said = by(_profiles(image), "worker_id")
    calls = Counter(call.facts["who"] for call in image.history.calls if call.command == "change")
    for call in image.history.ok("change"):
        if call.facts["floor"] not in {each.body["profile"]["floor_fen_per_hour"] for each in said[call.facts["who"]]}:
            report.add("lost", f"worker {call.facts['who']}: a change was confirmed and is not said")
    for worker, events in said.items():
        changes = sum(each.type == "worker-changed" for each in events)
        if changes > calls[worker]:
            report.add("doubled", f"worker {worker}: {changes} changes, {calls[worker]} asked for")


def _check_outs(image: Image, report: Report) -> None:
    gone = {said.body["checkin_id"]: said.body["reason"] for said in image.of("worker-checked-out")}
    for call in image.history.ok("check-out"):
        if call.facts["checkin_id"] not in gone:
            report.add("lost", f"check-out of {call.facts['checkin_id']} was confirmed and is not said")
    asked = {call.facts["checkin_id"] for call in image.history.calls if call.command == "check-out"}
    for checkin, reason in gone.items():
        if reason == "worker" and checkin not in asked:
            report.add("doubled", f"check-in {checkin} ended by its worker, who did not ask")


def _blocks(image: Image, report: Report) -> None:
    """Each time that somebody blocks or unblocks is said once."""
    for command, type_ in (("block", "pair-blocked"), ("unblock", "pair-unblocked")):
        said = Counter((each.body["worker_id"], each.body["employer_id"]) for each in image.of(type_))
        calls = [call for call in image.history.calls if call.command == command]
        confirmed = Counter(_pair(call) for call in calls if call.status == "ok")
        unknown = Counter(_pair(call) for call in calls if call.may_be_done)
        for pair in said.keys() | confirmed.keys():
            if said[pair] < confirmed[pair]:
                report.add("lost", f"{command} of {pair}: {confirmed[pair]} were confirmed, {said[pair]} are said")
            if said[pair] > confirmed[pair] + unknown[pair]:
                report.add("doubled", f"{command} of {pair}: {confirmed[pair]} were confirmed, {said[pair]} are said")


def _pair(call: Call) -> tuple[str, str]:
    return call.facts["who"], call.facts["employer_id"]


def _amendments(image: Image, report: Report) -> None:
    """Each change of terms is one event; a call that changes nothing says nothing, and its answer's revision tells."""
    said = Counter(each.subject for each in image.of("gig-amended"))
    for gig, row in image.databases["posting"]["gigs"].items():
        report.same("lost", f"gig {gig}: amendments said", said[gig], row["revision"] - 1)
    told: dict[str, int] = defaultdict(int)
    calls = Counter(call.facts["gig_id"] for call in image.history.calls if call.command == "amend")
    for call in image.history.ok("amend"):
        told[call.facts["gig_id"]] = max(told[call.facts["gig_id"]], call.answer["revision"])
    for gig, revision in told.items():
        if said[gig] < revision - 1:
            report.add("lost", f"gig {gig}: revision {revision} was confirmed, {said[gig]} amendments are said")
    versions: dict[str, list[Said]] = defaultdict(list)
    for each in image.of("gig-posted", "gig-amended"):
        versions[each.subject].append(each)
    for call in image.history.ok("amend"):
        told_of = versions[call.facts["gig_id"]][call.answer["revision"] - 1 :][:1]
        for name, wanted in call.facts.get("changes", {}).items():
            if any(each.body["terms"][name] != wanted for each in told_of):
                report.add("lost", f"gig {call.facts['gig_id']}: its {name} was confirmed to be {wanted}")
    for gig, times in said.items():
        if times > calls[gig]:
            report.add("doubled", f"gig {gig}: {times} amendments, {calls[gig]} asked for")


# --- what services remember ----------------------------------------------------------------------------------------


def _memory(image: Image, report: Report) -> None:
    for service, documents in expected(image).items():
        for collection, wanted in documents.items():
            found, name = image.databases[service][collection], f"{service}.{collection}"
            if name == "matching.seats":
                found = {id: row for id, row in found.items() if not row["open"]}
            elif name == "matching._timers":
                found = {
                    id: {"due_at": row["due_at"]} for row in found.values() for id in row["data"].get("offers", ())
                }
                found = {id: row for id, row in found.items() if id in wanted}
            elif name == "posting.employers":
                found = {id: row for id, row in found.items() if id in wanted or row["status"] != "pending"}
            for id in sorted(wanted.keys() - found.keys()):
                report.add("lost", f"{name}: {id} is not there")
            for id in sorted(found.keys() - wanted.keys()):
                report.add("doubled", f"{name}: {id} follows from no event")
            for id in wanted.keys() & found.keys():
                for differs in differences(found[id], wanted[id]):
                    report.add("doubled" if differs.more else "lost", f"{name}: {id}: {differs}")
    waiting = [id for id, row in image.databases["notify"]["deliveries"].items() if row["state"] == "waiting"]
    report.same("lost", "notify.deliveries: still waiting", waiting, [])
    _open_seats(image, report)
    _papers(image, report)
    _numbers(image, report)


def _open_seats(image: Image, report: Report) -> None:
    """A gig that takes people has as many seats as its headcount says, or more if more are taken; another those that
    are taken, and of seats whose workers did not come some. posting calls a gig filled exactly when it is."""
    rows = image.databases["matching"]["seats"].values()
    missed = Counter(said.body["gig_id"] for said in image.of("shift-missed"))
    seats, taken = Counter(row["gig_id"] for row in rows), Counter(row["gig_id"] for row in rows if not row["open"])
    for id, gig in image.databases["matching"]["gigs"].items():
        wanted = taken[id] if gig["closed"] else max(gig["terms"]["headcount"], taken[id])
        kind: Kind = "lost" if seats[id] < wanted else "doubled"
        if gig["closed"] and wanted <= seats[id] <= wanted + missed[id]:
            continue
        report.same(kind, f"matching.seats: how many {id} has", seats[id], wanted)
    for id, gig in image.databases["posting"]["gigs"].items():
        if gig["status"] != "closed":
            full = "filled" if gig["placed"] >= gig["terms"]["headcount"] else "open"
            report.same("lost", f"posting.gigs: {id}: status for {gig['placed']} placed", gig["status"], full)


def _papers(image: Image, report: Report) -> None:
    """The text of an agreement is that under its hash, and says what the placement says."""
    made = {said.subject: said.body for said in image.of("placement-made")}
    due = {said.subject: said.body["amount_fen"] for said in image.of("pay-due")}
    owed = {
        said.subject: said.body["compensation_fen"]
        for said in image.of("placement-cancelled", "excuse-decided")
        if said.body.get("compensation_fen")
    }
    worked = {said.subject for said in image.of("pay-due") if said.body["reason"] == "work"}
    for id in worked & owed.keys():  # who ended the work before the cancellation was heard is paid for it instead
        del owed[id]
    for id, fen in owed.items():
        report.same("lost", f"rights: compensation due of {id}", due.get(id, 0), fen)
    for id, shift in image.databases["rights"]["shifts"].items():
        if (
            id not in owed
            and shift["status"] == "ended"
            and (shift["pay"]["unit"] != "piece" or shift["pieces"] is not None)
        ):
            report.same("lost", f"rights: pay due of {id}", due.get(id, 0), _owed(shift))
    for id, row in image.databases["rights"]["agreements"].items():
        report.same(
            "lost", f"rights.agreements: {id}: hash of its text", sha256(row["text"]).hexdigest(), row["sha256"]
        )
        said, text = made.get(id), orjson.loads(row["text"])
        if said:
            names = ("offer_id", "gig_id", "seat", "worker_id", "employer_id", "district", "terms")
            fields = {name: said[name] for name in names} | {"agreed_at": said["at"]}
            for differs in differences(text, fields):
                report.add("lost", f"rights.agreements: {id}: its text: {differs}")


def _owed(shift: Row) -> int:
    """In fen: the day's rate (a substitute's part of it), so much a piece, or minutes at an hour's rate to the nearest
    fen."""
    rate = int(shift["pay"]["amount_fen"])
    match shift["pay"]["unit"]:
        case "day" if shift.get("arrive_by"):
            length = (shift["period"]["end"] - shift["period"]["start"]).total_seconds() / 60
            return int(rate * shift["minutes"] / length + 0.5)
        case "day":
            return rate if shift["minutes"] else 0
        case "piece":
            return rate * int(shift["pieces"])
        case _:
            return int(rate * shift["minutes"] / 60 + 0.5)


def _numbers(image: Image, report: Report) -> None:
    """A person's messages are numbered 1 to n; each stream's last number is the last in the log."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in image.databases["notify"]["messages"].values():
        numbers[row["person_id"]].append(row["sequence"])
    for person, own in numbers.items():
        report.same("doubled", f"notify.messages: numbers of {person}'s", sorted(own), list(range(1, len(own) + 1)))
    last: dict[str, int] = defaultdict(int)
    for said in image.log:
        last[f"{said.topic}:{said.subject}"] = max(last[f"{said.topic}:{said.subject}"], said.sequence)
    kept = {id: row["last"] for found in image.databases.values() for id, row in found["_streams"].items()}
    for stream in kept.keys() | last.keys():
        said_, in_log = kept.get(stream, 0), last.get(stream, 0)
        report.same("lost" if in_log < said_ else "doubled", f"{stream}: numbers in the log", in_log, said_)


# --- what the insurer has ------------------------------------------------------------------------------------------


def _insured(image: Image, report: Report) -> None:
    """Each placement stands in the insurer's books once; one that is void was never there, or is withdrawn."""
    if image.policies is None:
        return
    covers = image.databases["rights"]["covers"]
    confirmed = {said.subject for said in image.of("cover-confirmed")}
    for id, cover in covers.items():
        active, policies = cover["status"] == "active", image.policies.get(id, [])
        if cover.get("ask"):
            report.add("lost", f"cover {id}: the insurer has not been heard of: {cover['ask']}")
        if active and (not policies or id not in confirmed):
            report.add("lost", f"cover {id} is active and not in the insurer's books, or its confirmation is not said")
        keys = {key for policy in policies for key in policy["keys"]}
        if len(policies) > 1 or len(keys) > 1:
            report.add("doubled", f"cover {id} was enrolled {max(len(policies), len(keys))} times")
        for policy in policies:
            if active and policy["withdrawn_at"]:
                report.add("lost", f"cover {id} is active and was withdrawn from the insurer's books")
            if not active and not policy["withdrawn_at"]:
                report.add("lost", f"cover {id} is {cover['status']} and stands in the insurer's books")
    for id in sorted(image.policies.keys() - covers.keys()):
        report.add("doubled", f"the insurer covers {id}, which is no placement")


# --- what was delivered --------------------------------------------------------------------------------------------


def _deliveries(image: Image, report: Report) -> None:
    for service, found in image.databases.items():
        report.same("lost", f"{service}: unpublished", sorted(found["_outbox"])[:5], [])
        report.same("dead", f"{service}: blocked streams", sorted(found["_blocked"]), [])
        report.same("dead", f"{service}: fuse", sorted(found["_fuses"]), [])
    for service in REACTING:
        kinds, topics = load(service).reactions.kinds, set(load(service).reactions.topics)
        heard = {said.id for said in image.log if (kind := kinds.get(_full(said))) and kind.topic == said.topic}
        for missing in sorted(heard - image.inbox[service])[:20]:
            report.add("lost", f"{service}: event {missing} was never handled")
        for extra in sorted(image.inbox[service] - heard)[:20]:
            report.add("doubled", f"{service}: event {extra} was handled and is not in the log")
        fences = {tuple(name.split(":")[1:]): row["next"] for name, row in image.databases[service]["_fences"].items()}
        for (topic, partition), end in image.ends.items():
            at = fences.get((topic, str(partition)), 0)
            if topic in topics and at != end:
                report.add("lost", f"{service}: {topic} {partition} is read to {at} of {end}")
        _dead_letters(service, image, topics, report)


def _full(said: Said) -> str:
    return f"{said.topic.partition('.')[0]}.{said.type}.v1"


def _dead_letters(service: str, image: Image, topics: set[str], report: Report) -> None:
    """A service sets aside what it cannot read in topics it reads, and leaves alone what is not for it."""
    kinds, known = load(service).reactions.kinds, catalogue()
    planted = {
        place
        for place, type_ in image.poison.items()
        if place[0] in topics and (not type_ or type_ not in known or type_ in kinds)
    }
    dead = {(row["topic"], row["partition"], row["offset"]): row for row in image.databases[service]["_dead"].values()}
    for place in sorted(planted - dead.keys()):
        report.add("dead", f"{service}: {_at(place)} (type {image.poison[place]}) is no event and was not set aside")
    for place in sorted(dead.keys() - planted):
        report.add(
            "dead", f"{service}: {_at(place)} was set aside: {dead[place]['kind']}, {dead[place]['reason'][:120]}"
        )
    # The topic keeps what was redriven since; that is in the inbox.
    told, lie = image.letters.get(service, set()), {_at(place) for place in dead}
    redriven = {place for place in told if image.places.get(place) in image.inbox[service]}
    report.same("dead", f"{service}: letters in its topic", (told - redriven) ^ (lie - redriven), set())


def _at(place: tuple[str, int, int]) -> str:
    return ":".join(map(str, place))


# --- saying it -----------------------------------------------------------------------------------------------------


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) > 3:
        return f"{dict(list(value.items())[:3])} and {len(value) - 3} more"
    text = str(sorted(value)[:5] if isinstance(value, set) and len(value) > 5 else value)
    return text[:300]
