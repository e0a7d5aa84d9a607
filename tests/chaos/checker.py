"""What must hold after faults: judged from the log, the databases and what clients were told, by code of its own.

| what | where it is looked for |
|---|---|
| an acknowledged command has its event and its effect, once; a refused one none; an unknown one either | `_commands` |
| nothing is said without its cause | `_causes` |
| events of an aggregate are numbered 1 to n, in this order, under one key | `_sequences` |
| at every prefix of the log and at every commit no seat is held twice, no gig has more placements than seats | `_seats` |
| at every commit, and every prefix of a partition, no worker's placements overlap (half-open) | `_overlaps` |
| what a service remembers of others' events is the fold of those events | `_projections` |
| each person is told once of each thing, and of nothing else | `_messages` |
| each event was handled once by each service that reacts to it; dead letters are the planted ones | `_deliveries` |
| nothing waits: outboxes empty, every partition read to its end | `_deliveries` |

The judging is pure: `take` (image.py) reads, `judge` compares.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple

from shared.contracts import CATALOGUE
from shared.run import load
from tests.chaos.history import History
from tests.chaos.image import Change, Image, Row, Said, by, take
from tests.chaos.stack import REACTING

Kind = Literal["lost", "doubled", "overfilled", "overlaps", "dead"]
MOST = 2_000
"""Findings beyond so many are counted, not kept."""

TOLD_OF_END = {"filled", "closed", "unconfirmed"}


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


async def check(*, mongo_url: str, kafka: str, history: History) -> Report:
    """Read everything and judge it."""
    return judge(await take(mongo_url, kafka, history))


def judge(image: Image) -> Report:
    report = Report(repeats=image.repeats, events=len(image.log))
    steps: Sequence[Callable[[Image, Report], None]] = (
        _sequences,
        _seats,
        _overlaps,
        _causes,
        _commands,
        _projections,
        _messages,
        _deliveries,
    )
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
    causes: Mapping[str, tuple[str, set[str]]] = {
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
        "agreement-made": ("placement_id", placements),
    }
    for said in image.log:
        if said.type not in causes:
            continue
        name, there = causes[said.type]
        cause = said.body["terms"]["employer_id"] if name == "terms.employer_id" else said.body[name]
        if cause not in there:
            report.add("doubled", f"{said.type} of {said.subject} without its cause: {name} {cause}")
    once = ("gig-posted", "gig-closed", "worker-registered", "worker-checked-in", "worker-checked-out", "offer-made")
    _once(image, report, *once, "placement-made", "placement-cancelled", "agreement-made", "delivery-made")
    ends = Counter(said.body["offer_id"] for said in image.of("offer-declined", "offer-expired", "placement-made"))
    for offer, times in ends.items():
        if times > 1:
            report.add("doubled", f"offer {offer} ended {times} times")


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
    compare("close", "gig-closed", (call.facts["gig_id"] for call in history.ok("close")))
    automatic = {worker for worker, events in by(_profiles(image), "worker_id").items() if _automatic(events)}
    compare(
        "accept",
        "placement-made",
        (call.answer["placement_id"] for call in history.ok("accept")),
        others=(said.subject for said in image.of("placement-made") if said.body["worker_id"] in automatic),
    )
    compare("cancel", "placement-cancelled", (call.facts["placement_id"] for call in history.ok("cancel")))
    compare("decline", "offer-declined", (call.facts["offer_id"] for call in history.ok("decline")))

    _check_outs(image, report)
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


def _check_outs(image: Image, report: Report) -> None:
    gone = {said.body["checkin_id"]: said.body["reason"] for said in image.of("worker-checked-out")}
    for call in image.history.ok("check-out"):
        if call.facts["checkin_id"] not in gone:
            report.add("lost", f"check-out of {call.facts['checkin_id']} was confirmed and is not said")
    asked = {call.facts["checkin_id"] for call in image.history.calls if call.command == "check-out"}
    for checkin, reason in gone.items():
        if reason == "worker" and checkin not in asked:
            report.add("doubled", f"check-in {checkin} ended by its worker, who did not ask")


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
    for gig, times in said.items():
        if times > calls[gig]:
            report.add("doubled", f"gig {gig}: {times} amendments, {calls[gig]} asked for")


# --- what services remember ----------------------------------------------------------------------------------------


def _projections(image: Image, report: Report) -> None:
    posting, matching = image.databases["posting"], image.databases["matching"]
    made = {said.subject: said.body for said in image.of("placement-made")}
    cancelled = {said.subject: said.body for said in image.of("placement-cancelled")}
    standing = {id: body for id, body in made.items() if id not in cancelled}
    closed = {said.subject: said.body["reason"] for said in image.of("gig-closed")}
    terms = {said.subject: said.body["terms"] for said in image.of("gig-posted", "gig-amended")}

    _posting(posting, made, standing, closed, terms, image, report)
    _market(matching, made, cancelled, standing, closed, terms, image, report)
    _people(image, report)
    _rights(image.databases["rights"], made, cancelled, image, report)


def _posting(
    rows: Mapping[str, Mapping[str, Row]],
    made: Mapping[str, Any],
    standing: Mapping[str, Any],
    closed: Mapping[str, str],
    terms: Mapping[str, Any],
    image: Image,
    report: Report,
) -> None:
    placed = Counter(body["gig_id"] for body in standing.values())
    filled = {said.subject: said.type == "gig-filled" for said in image.of("gig-filled", "gig-reopened")}
    report.same("lost", "posting: gigs", rows["gigs"].keys() ^ terms.keys(), set())
    for id, gig in rows["gigs"].items():
        if id not in terms:
            continue
        state = "closed" if id in closed else "filled" if filled.get(id) else "open"
        expected = (state, placed[id], terms[id]["headcount"], closed.get(id))
        found = (gig["status"], gig["placed"], gig["terms"]["headcount"], gig["closed_reason"])
        report.same("lost" if gig["placed"] <= placed[id] else "doubled", f"posting: gig {id}", found, expected)
    known = {id: row["stands"] for id, row in rows["placements"].items()}
    report.same("lost", "posting: placements", _differ(known, {id: id in standing for id in made}), {})


def _market(
    rows: Mapping[str, Mapping[str, Row]],
    made: Mapping[str, Any],
    cancelled: Mapping[str, Any],
    standing: Mapping[str, Any],
    closed: Mapping[str, str],
    terms: Mapping[str, Any],
    image: Image,
    report: Report,
) -> None:
    known = {id: (row["closed"], row["terms"]["headcount"]) for id, row in rows["gigs"].items()}
    heard = {id: (closed.get(id), each["headcount"]) for id, each in terms.items()}
    # A gig that was closed keeps the terms it had here; posting amends no closed one, so they are the last.
    report.same("lost", "matching: gigs", _differ(known, heard), {})
    status = {id: row["status"] for id, row in rows["placements"].items()}
    expected = {id: "cancelled" if id in cancelled else "placed" for id in made}
    report.same("lost", "matching: placements", _differ(status, expected), {})

    taken = {f"{body['gig_id']}:{body['seat']}": id for id, body in standing.items()}
    held = {id: row["placement_id"] for id, row in rows["seats"].items() if not row["open"]}
    report.same("lost", "matching: taken seats", _differ(held, taken), {})
    seats, busy = (
        Counter(row["gig_id"] for row in rows["seats"].values()),
        Counter(b["gig_id"] for b in standing.values()),
    )
    for id, (reason, headcount) in known.items():
        report.same("lost", f"matching: seats of {id}", seats[id], busy[id] if reason else max(headcount, busy[id]))

    promised: dict[str, set[str]] = defaultdict(set)
    for id, body in standing.items():
        promised[body["worker_id"]].add(id)
    for worker, row in rows["commitments"].items():
        kept = {period["placement_id"] for period in row["periods"]}
        report.same("lost", f"matching: commitments of {worker}", kept, promised.pop(worker, set()))
    report.same("lost", "matching: commitments nobody has", {w for w, ids in promised.items() if ids}, set())

    ended = {said.body["offer_id"]: "declined" for said in image.of("offer-declined")}
    ended |= {said.body["offer_id"]: "expired" for said in image.of("offer-expired")}
    ended |= {body["offer_id"]: "accepted" for body in made.values()}
    offers = {id: row["ended"] for id, row in rows["offers"].items()}
    said = {each.subject: ended.get(each.subject) for each in image.of("offer-made")}
    report.same("lost", "matching: offers", _differ(offers, said), {})


def _people(image: Image, report: Report) -> None:
    workers, matching = image.databases["workers"], image.databases["matching"]
    gone = {said.subject for said in image.of("worker-checked-out")}
    waiting = {said.subject for said in image.of("worker-checked-in")} - gone
    report.same("lost", "matching: who waits", matching["waiting"].keys() ^ waiting, set())
    present = {f"{row['checkin_id']}:{d}" for row in workers["presences"].values() for d in row["districts"]}
    report.same("lost", "workers: who waits", present ^ waiting, set())
    newest: dict[str, int] = defaultdict(int)
    for said in image.of("worker-changed", "worker-checked-in"):
        newest[said.body["worker_id"]] = max(newest[said.body["worker_id"]], said.body["profile"]["revision"])
    known = {id: row["profile"]["revision"] for id, row in matching["profiles"].items()}
    report.same("lost", "matching: profiles", _differ(known, newest), {})
    registered = {said.subject for said in image.of("worker-registered")}
    report.same("lost", "workers: registered", workers["workers"].keys() ^ registered, set())
    verified = {said.subject for said in image.of("employer-verified")}
    kept = {id for id, row in image.databases["posting"]["employers"].items() if row["status"] == "verified"}
    report.same("lost", "posting: verified employers", kept ^ verified, set())


def _rights(
    rows: Mapping[str, Mapping[str, Row]],
    made: Mapping[str, Any],
    cancelled: Mapping[str, Any],
    image: Image,
    report: Report,
) -> None:
    for name, state in (
        ("agreements", lambda row: row["void_at"] is not None),
        ("covers", lambda row: row["status"] == "withdrawn"),
        ("shifts", lambda row: row["status"] == "cancelled"),
    ):
        found = {id: state(row) for id, row in rows[name].items()}
        report.same("lost", f"rights: {name}", _differ(found, {id: id in cancelled for id in made}), {})
    # One that was cancelled before rights heard of it has its papers, void from the start, and is not announced.
    announced = {said.subject for said in image.of("agreement-made")}
    report.same("lost", "rights: agreements said", made.keys() - cancelled.keys() - announced, set())


def _messages(image: Image, report: Report) -> None:
    """Message ids are `<kind>:<subject>[:<turn>]:<person>`, so a person is told twice only under another turn."""
    expected: set[str] = set()
    maybe: set[str] = set()
    owner = {said.subject: said.body["terms"]["employer_id"] for said in image.of("gig-posted")}
    for said in image.log:
        body, about = said.body, f"{said.type}:{said.subject}"
        match said.type:
            case "offer-made" | "agreement-made":
                expected.add(f"{about}:{body['worker_id']}")
            case "placement-made" | "placement-cancelled":
                expected |= {f"{about}:{body['worker_id']}", f"{about}:{body['employer_id']}"}
            case "gig-closed":
                expected.add(f"{about}:{owner.get(said.subject)}")
            case "offer-expired" if body["reason"] in TOLD_OF_END:
                # Only where the offer itself was heard of before; both go by one partition.
                expected.add(f"{about}:{body['worker_id']}")
            case "employer-verified" | "gig-filled":
                person = owner.get(said.subject, said.subject)
                maybe.add(f"{about}:{person}")
    found = image.databases["notify"]["messages"]
    told = {_plain(id) for id in found}
    for missing in sorted(expected - told)[:50]:
        report.add("lost", f"notify: nobody was told {missing}")
    for extra in sorted(told - expected - maybe)[:50]:
        report.add("doubled", f"notify: {extra} was told and is not in the log")
    deliveries = image.databases["notify"]["deliveries"]
    waiting = [id for id, row in deliveries.items() if row["state"] == "waiting"]
    report.same("lost", "notify: deliveries that wait", waiting, [])
    made = {said.subject for said in image.of("delivery-made", "delivery-failed")}
    report.same("lost", "notify: deliveries said", made ^ deliveries.keys(), set())
    for person, numbers in _numbers(found).items():
        report.same("doubled", f"notify: numbers of {person}'s messages", numbers, list(range(1, len(numbers) + 1)))


def _plain(id: str) -> str:
    """A message's id without its turn: kind, subject and person are what does not change."""
    kind, *rest = id.split(":")
    if kind in ("gig-filled", "employer-verified", "employer-suspended"):
        return f"{kind}:{rest[0]}:{rest[-1]}"
    return id


def _numbers(messages: Mapping[str, Row]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for row in messages.values():
        found[row["person_id"]].append(row["sequence"])
    return {person: sorted(numbers) for person, numbers in found.items()}


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
    kinds = load(service).reactions.kinds
    planted = {
        place
        for place, type_ in image.poison.items()
        if place[0] in topics and (not type_ or type_ not in CATALOGUE or type_ in kinds)
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


def _differ(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where two mappings differ: what is found, and what is expected."""
    keys = chain(found.keys(), expected.keys() - found.keys())
    return {key: (found.get(key), expected.get(key)) for key in keys if found.get(key) != expected.get(key)}


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) > 3:
        return f"{dict(list(value.items())[:3])} and {len(value) - 3} more"
    text = str(sorted(value)[:5] if isinstance(value, set) and len(value) > 5 else value)
    return text[:300]
