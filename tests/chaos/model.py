"""What every service must remember, folded anew from the log by code that shares nothing with the services.

Each function gives the documents of one service: collection, id, and those fields that follow from the log. Times are
as in events; `plain` makes what a database holds alike. What does not follow from the log (traces, seeds, sealed
names) is not here, and is not compared.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from tests.chaos.image import Image, Said

Fields = dict[str, Any]
Documents = dict[str, dict[str, Fields]]
"""By collection and id."""

OUTWARD = {
    "offer-made",
    "placement-made",
    "placement-cancelled",
    "excuse-decided",
    "attendance-asked",
    "agreement-made",
    "cover-refused",
    "shift-missed",
    "timesheet-disputed",
    "pay-due",
    "pay-corrected",
    "pay-overdue",
    "pay-contested",
    "case-opened",
    "case-closed",
    "case-escalated",
    "sanction-set",
    "sanction-lifted",
    "employer-verified",
    "employer-verification-ending",
    "employer-suspended",
    "review-decided",
}
"""Of what a person is told by SMS too, if they gave a number."""
WARNED_DAYS_AHEAD = (30, 7)
TOLD_OF_END = {"filled", "closed", "unconfirmed"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")


BOTH = ("worker", "employer")
OF_PLACEMENTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("agreement-made", ("worker",), ("starts_at",)),
    ("cover-refused", BOTH, ()),
    ("shift-started", ("employer",), ("at",)),
    ("shift-missed", BOTH, ("at",)),
    ("attendance-confirmed", ("employer",), ("at",)),
    ("pay-due", BOTH, ("amount_fen", "due_at", "reason")),
    ("timesheet-disputed", ("worker",), ("minutes", "claimed_minutes")),
    ("timesheet-settled", BOTH, ("minutes",)),
    ("pay-corrected", BOTH, ("amount_fen",)),
    ("pay-confirmed", ("employer",), ("amount_fen",)),
    ("pay-overdue", BOTH, ("amount_fen", "due_at")),
)
"""What is told of a placement: the event, to whom, and which facts."""


class OneOf(NamedTuple):
    """Any of these values: where the log leaves it open."""

    values: tuple[Any, ...]


class Log:
    """The events by type, and what several folds ask of them."""

    def __init__(self, image: Image) -> None:
        self._by: dict[str, list[Said]] = defaultdict(list)
        for said in image.log:
            self._by[said.type].append(said)
        self.made = {said.subject: said for said in self._by["placement-made"]}
        self.cancelled = {said.subject: said for said in self._by["placement-cancelled"]}
        self.standing = {id: said.body for id, said in self.made.items() if id not in self.cancelled}
        self.offers = {said.subject: said.body for said in self._by["offer-made"]}
        self.missed = {said.subject: said.body["at"] for said in self._by["shift-missed"]}
        self.attending = {said.subject: said.body["at"] for said in self._by["attendance-confirmed"]}
        self.excuses = {said.subject: said.body for said in self._by["excuse-decided"]}
        self.closed = {said.subject: said.body["reason"] for said in self._by["gig-closed"]}
        self.versions: dict[str, list[Said]] = defaultdict(list)
        for said in image.of("gig-posted", "gig-amended"):
            self.versions[said.subject].append(said)
        self.presences = {said.subject: said.body for said in self._by["worker-checked-in"]}
        self.waiting = dict(self.presences)
        for said in self._by["worker-checked-out"]:
            self.waiting.pop(said.subject, None)
        self.days: dict[str, set[int]] = defaultdict(set)
        for body in self.presences.values():
            self.days[body["worker_id"]].add(_day(body["at"]))
        self.profiles: dict[str, Any] = {}
        for said in image.of("worker-registered", "worker-checked-in", "worker-changed"):
            worker, profile = said.body["worker_id"], said.body["profile"]
            if worker not in self.profiles or profile["revision"] > self.profiles[worker]["revision"]:
                self.profiles[worker] = profile

    def __getitem__(self, type_: str) -> list[Said]:
        return self._by[type_]

    def last(self, *types: str) -> dict[str, Said]:
        """The last event of each subject among these types, which are of one topic."""
        found: dict[str, Said] = {}
        for type_ in types:
            for said in self._by[type_]:
                if said.subject not in found or said.sequence > found[said.subject].sequence:
                    found[said.subject] = said
        return found


def expected(image: Image) -> dict[str, Documents]:
    log = Log(image)
    return {
        "posting": posting(log),
        "workers": workers(log),
        "matching": matching(log),
        "rights": rights(log, image),
        "notify": notify(log, image),
    }


# --- posting -------------------------------------------------------------------------------------------------------


def posting(log: Log) -> Documents:
    employers: dict[str, Fields] = {}
    for id, said in log.last("employer-verified", "employer-suspended").items():
        if said.type == "employer-verified":
            employers[id] = {"status": "verified", "verified_until": said.body["verified_until"]}
        else:
            employers[id] = {"status": OneOf(("rejected", "lapsed", "pending")), "verified_until": None}
    placed: dict[str, int] = defaultdict(int)
    for body in log.standing.values():
        placed[body["gig_id"]] += 1
    full = {id: said.type == "gig-filled" for id, said in log.last("gig-filled", "gig-reopened").items()}
    gigs = {
        id: {
            "district": versions[-1].body["district"],
            "terms": versions[-1].body["terms"],
            "status": "closed" if id in log.closed else "filled" if full.get(id) else "open",
            "closed_reason": log.closed.get(id),
            "placed": placed[id],
            "revision": len(versions),
            "posted_at": versions[0].at,
        }
        for id, versions in log.versions.items()
    }
    known = {id: {"gig_id": said.body["gig_id"], "stands": id in log.standing} for id, said in log.made.items()}
    timers = {
        f"gig-expiry:{id}": {"due_at": versions[-1].body["terms"]["valid_until"]}
        for id, versions in log.versions.items()
        if id not in log.closed
    }
    timers |= {
        f"verification-end:{id}": {"due_at": fields["verified_until"]}
        for id, fields in employers.items()
        if fields["status"] == "verified"
    }
    for id, said in log.last("employer-verified", "employer-verification-ending").items():
        ahead = [days for days in WARNED_DAYS_AHEAD if days < said.body.get("days_left", 1_000)]
        if employers[id]["status"] == "verified" and ahead:
            due = datetime.fromisoformat(said.body["verified_until"]) - timedelta(days=max(ahead))
            timers[f"verification-warning:{id}"] = {"due_at": due.isoformat()}
    return {"employers": employers, "gigs": gigs, "placements": known, "_timers": timers}


# --- workers -------------------------------------------------------------------------------------------------------


def workers(log: Log) -> Documents:
    registered = {
        id: {"district": said.body["district"]}
        | {name: value for name, value in said.body["profile"].items() if name not in ("certificates", "minor")}
        for id, said in log.last("worker-registered", "worker-changed").items()
    }
    presences: dict[str, Fields] = {}
    for body in log.waiting.values():
        own = presences.setdefault(
            body["worker_id"],
            {name: body[name] for name in ("checkin_id", "cell", "station_id", "at", "until")} | {"districts": set()},
        )
        own["districts"].add(body["district"])
    timers = {
        f"check-in-ends:{id}": {"due_at": own["until"], "data": {"checkin_id": own["checkin_id"]}}
        for id, own in presences.items()
    }
    blocks = {
        f"worker:{block['worker_id']}:{block['employer_id']}": {"block_id": id} | block
        for id, block in _blocks(log).items()
    }
    return {"workers": registered, "presences": presences, "blocks": blocks, "_timers": timers}


def _blocks(log: Log) -> dict[str, Fields]:
    """Those in force. In these runs workers alone ask for any."""
    return {
        id: {name: said.body[name] for name in ("worker_id", "employer_id", "until")}
        for id, said in log.last("pair-blocked", "pair-unblocked").items()
        if said.type == "pair-blocked"
    }


# --- matching ------------------------------------------------------------------------------------------------------


def matching(log: Log) -> Documents:
    """Its open seats are numbered by what came first, so that only how many there are follows: see `open_seats`."""
    gigs = {
        id: {
            "district": versions[0].body["district"],
            "terms": versions[-1].body["terms"],
            "edition": 1 + sum(not _alike(a.body["terms"], b.body["terms"]) for a, b in pairwise(versions)),
            "closed": log.closed.get(id),
        }
        for id, versions in log.versions.items()
    }
    seats = {
        f"{body['gig_id']}:{body['seat']}": {
            "gig_id": body["gig_id"],
            "number": body["seat"],
            "district": body["district"],
            "open": False,
            "placement_id": id,
        }
        for id, body in log.standing.items()
    }
    names = ("checkin_id", "worker_id", "district", "cell", "at", "until")
    waiting = {
        id: {name: body[name] for name in names} | {"profile": log.profiles[body["worker_id"]]}
        for id, body in log.waiting.items()
    }
    profiles = {id: {"profile": profile, "days": sorted(log.days[id])} for id, profile in log.profiles.items()}
    offers = _offers(log)
    return {
        "gigs": gigs,
        "seats": seats,
        "waiting": waiting,
        "profiles": profiles,
        "blocks": _blocks(log),
        "offers": offers,
        "placements": _placements(log),
        "commitments": _commitments(log, offers),
        "_timers": {id: {"due_at": offer["expires_at"]} for id, offer in offers.items() if offer["open"]},
    }


def _alike(terms: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether an offer of the one may stand under the other: all but the headcount is the same."""
    return {**terms, "headcount": 0} == {**other, "headcount": 0}


def _offers(log: Log) -> dict[str, Fields]:
    names = ("gig_id", "worker_id", "employer_id", "district", "terms", "weights")
    times = ("checked_in_at", "made_at", "expires_at")
    offers = {
        id: {name: body[name] for name in (*names, *times)}
        | {"open": True, "ended": None, "reason": None, "refused": False, "placement_id": None}
        for id, body in log.offers.items()
    }
    for id, said in log.made.items():
        if own := offers.get(said.body["offer_id"]):
            own |= {"open": False, "ended": "accepted", "placement_id": id, "refused": id in log.cancelled}
    for said in log["offer-declined"]:
        if own := offers.get(said.subject):
            own |= {"open": False, "ended": "declined", "refused": True}
    for said in log["offer-expired"]:
        if own := offers.get(said.subject):
            reason = said.body["reason"]
            own |= {"open": False, "ended": "expired", "reason": reason, "refused": reason == "time"}
    return offers


def _placements(log: Log) -> dict[str, Fields]:
    names = ("offer_id", "gig_id", "seat", "worker_id", "employer_id", "district", "terms", "at", "arrive_by")
    placements = {}
    for id, said in log.made.items():
        end = log.cancelled[id].body if id in log.cancelled else {"by": None, "at": None}
        decided = log.excuses.get(id)
        waits = "waiting" if end.get("excuse") else None
        placements[id] = {name: said.body.get(name) for name in names} | {
            "attending_at": log.attending.get(id),
            "cancelled_for": end.get("reason"),
            "late": end.get("late", False),
            "excuse": end.get("excuse"),
            "excuse_state": ("accepted" if decided["accepted"] else "refused") if decided else waits,
            "status": "cancelled" if id in log.cancelled else "placed",
            "cancelled_by": end["by"],
            "cancelled_at": end["at"],
            "checked_in_at": log.offers.get(said.body["offer_id"], {}).get("checked_in_at"),
        }
    return placements


def _commitments(log: Log, offers: Mapping[str, Fields]) -> dict[str, Fields]:
    """A new promise makes those be forgotten that were over eight days before it."""
    placed_at: dict[str, str] = {}
    for said in log.made.values():
        worker, at = said.body["worker_id"], plain(said.body["at"])
        placed_at[worker] = max(placed_at.get(worker, ""), at)
    found: dict[str, Fields] = {
        body["worker_id"]: {
            "periods": [],
            "offer_id": None,
            "placed_at": placed_at.get(body["worker_id"]),
            "until": None,
            "turns": {},
            "declined": set(),
        }
        for body in log.offers.values()
    }
    for id, offer in offers.items():
        if offer["open"]:
            found[offer["worker_id"]]["offer_id"] = id
    for id, said in log.made.items():
        void = log.cancelled.get(id)
        if (own := found.get(said.body["worker_id"])) and (void is None or void.body["by"] != "employer"):
            own["turns"][id] = _day(said.body["at"])
    for offer in offers.values():
        if offer["ended"] in ("declined", "expired") and offer["refused"]:
            found[offer["worker_id"]]["declined"].add(_day(offer["made_at"]))
    for id, body in log.standing.items():
        own, at, period = found.get(body["worker_id"]), plain(body["at"]), plain(body["terms"]["period"])
        if own and (_days_after(period["end"], 8) > own["placed_at"] or at == own["placed_at"]):
            own["periods"].append({**period, "placement_id": id, "employer_id": body["employer_id"]})
            own["until"] = max(own["until"] or "", period["end"])
    for own in found.values():
        own["periods"].sort(key=lambda period: period["start"])
        own["declined"] = sorted(own["declined"])
    return found


def _day(time: str) -> int:
    """The local day of a moment, as a number; a run is shorter than the month after which days are forgotten."""
    return (datetime.fromisoformat(time) + timedelta(hours=8)).toordinal()


# --- rights --------------------------------------------------------------------------------------------------------


def rights(log: Log, image: Image) -> Documents:
    """With an insurer, a cover has the number of its policy; one whose answer did not come in time is refused."""
    started = {said.subject: said.body for said in log["shift-started"]}
    ended = {said.subject: said.body for said in log["shift-ended"]}
    due = {said.subject: said.body for said in log["pay-due"]}
    overdue = {said.subject for said in log["pay-overdue"]}
    confirmed = {said.subject: said.body["at"] for said in log["pay-confirmed"]}
    in_arrears = {said.body["placement_id"] for said in log["case-opened"] if said.body["by"] == "market"}
    announced = {said.subject: said.body for said in log["agreement-made"]}
    refused = {said.subject for said in log["cover-refused"]}
    corrected = {said.subject: said.body["amount_fen"] for said in log["pay-corrected"]}
    sheets = log.last("timesheet-approved", "timesheet-disputed", "timesheet-settled")
    kinds = ("agreements", "covers", "shifts", "timesheets", "payments", "cancellations")
    found: Documents = {kind: {} for kind in kinds}
    timers: dict[str, Fields] = {}
    for id, said in log.made.items():
        body, void = said.body, log.cancelled.get(id)
        parties = {name: body[name] for name in ("worker_id", "employer_id", "gig_id", "district")}
        void_at, void_by = (void.body["at"], void.body["by"]) if void else (None, None)
        # Ended before rights heard of the cancellation, it stays in force: what was worked is owed.
        late = void is not None and id in ended
        covered = max(body["terms"]["period"]["start"], body["at"])
        agreement: Fields = {
            "parties": parties,
            "void_at": OneOf((void_at, None)) if late else void_at,
            "void_by": OneOf((void_by, None)) if late else void_by,
        }
        stands = "refused" if id in refused else "active"
        cover: Fields = {
            "parties": parties,
            "period": body["terms"]["period"] | {"start": covered},
            "status": OneOf((stands, "withdrawn")) if late else "withdrawn" if void else stands,
            "withdrawn_at": OneOf((void_at, None)) if late else void_at,
        }
        if id in announced:
            agreement["sha256"] = announced[id]["sha256"]
            if image.policies is None:
                cover["policy_id"] = announced[id]["policy_id"]
        if image.policies is not None:
            cover["policy_id"] = next((policy["policy_id"] for policy in image.policies.get(id, [])), None)
        done = "ended" if id in ended else "missed" if id in log.missed else "cancelled" if void else None
        status = done or ("started" if id in started else "planned")
        found["agreements"][id], found["covers"][id] = agreement, cover
        found["shifts"][id] = {
            "parties": parties,
            "period": body["terms"]["period"],
            "pay": body["terms"]["pay"],
            "status": status,
            "arrive_by": body.get("arrive_by"),
            "started_by": started.get(id, {}).get("by", "worker"),
            "started_at": started[id]["at"] if id in started else None,
            "ended_at": ended[id]["at"] if id in ended else None,
            "minutes": ended[id]["minutes"] if id in ended else None,
        }
        if status == "started":
            timers[f"shift-end:{id}"] = {"due_at": body["terms"]["period"]["end"]}
        if id in ended and ended[id]["minutes"]:
            answer = sheets[id].type.removeprefix("timesheet-") if id in sheets else "open"
            found["timesheets"][id] = {"parties": parties, "minutes": ended[id]["minutes"], "status": answer}
            if answer == "open":
                timers[f"timesheet:{id}"] = {}  # its time depends on when rights ended the shift
        if status == "planned":
            timers[f"no-show:{id}"] = {}  # its time depends on when rights heard of the placement
        if id in due and corrected.get(id) != 0:
            found["payments"][id] = {
                "parties": parties,
                "amount_fen": corrected.get(id, due[id]["amount_fen"]),
                "mode": body["terms"]["pay"]["mode"],
                "reason": due[id].get("reason", "work"),
                "due_at": due[id]["due_at"],
                "overdue": id in overdue,
                "confirmed_at": confirmed.get(id),
            }
            if id in overdue and id not in confirmed and id not in in_arrears:
                timers[f"pay-arrears:{id}"] = {}
            if id not in overdue and id not in confirmed:
                timers[f"pay-overdue:{id}"] = {"due_at": due[id]["due_at"]}
    return found | {"_timers": timers}


# --- notify --------------------------------------------------------------------------------------------------------


def notify(log: Log, image: Image) -> Documents:
    """One message for each event and person; a number of each person's own to each; and what went to a phone."""
    found: Documents = {"gigs": {}, "standings": {}, "messages": {}, "mailboxes": {}, "deliveries": {}, "_timers": {}}
    for id, versions in log.versions.items():
        terms = versions[-1].body["terms"]
        found["gigs"][id] = {"employer_id": terms["employer_id"], "title": terms["title"], "full": False}
        found["gigs"][id]["times_full"] = 0
    ends = {said.subject: said.body for type_ in ("delivery-made", "delivery-failed") for said in log[type_]}
    states = {said.subject: said.type.removeprefix("delivery-") for said in log["delivery-made"]}
    states |= {said.subject: "failed" for said in log["delivery-failed"]}
    told = {call.facts["who"]: call for call in image.history.calls if call.command == "set-contact"}
    for said, person, part, turn, facts, context in _tellings(log, found):
        about = f"{said.type}:{said.subject}{turn}"
        id = f"{about}:{person}"
        refs = {name: said.body[name] for name in ("offer_id", "gig_id", "placement_id") if name in said.body}
        found["messages"][id] = {
            "person_id": person,
            "part": part,
            "kind": said.type,
            "facts": facts,
            "refs": refs,
            "context": f"{context}:{person}" if context else None,
        }
        box = found["mailboxes"].setdefault(person, {"last": 0})
        box["last"] += 1
        contact = told.get(person)
        if contact is None or said.type not in OUTWARD:
            continue
        delivery = f"{id}:sms"
        known = contact.status == "ok" and contact.ended < _seconds(said.at)
        if known or delivery in ends:
            found["deliveries"][delivery] = {
                "person_id": person,
                "message_id": id,
                "about": about,
                "channel": "sms",
                "state": states.get(delivery, "waiting"),
            }
    return found


def _tellings(log: Log, found: Documents) -> Iterator[tuple[Said, str, str, str, Fields, str | None]]:
    """Who is told of what: the event, the person and their part, the turn, the facts, the message it refers to."""
    for said in log["offer-made"]:
        pay = said.body["terms"]["pay"]
        more = {"amount_fen": pay["amount_fen"], "unit": pay["unit"], "expires_at": said.body["expires_at"]}
        yield said, said.body["worker_id"], "worker", "", _work(said.body["terms"]) | more, None
    for said in log["offer-expired"]:
        if said.body["reason"] in TOLD_OF_END:
            facts = {"reason": said.body.get("detail") or said.body["reason"]}
            yield said, said.body["worker_id"], "worker", "", facts, f"offer-made:{said.subject}"
    for said in log["placement-made"]:
        for part in ("worker", "employer"):
            facts = _work(said.body["terms"]) | {"seat": said.body["seat"]}
            yield said, said.body[f"{part}_id"], part, "", facts, None
    for said in log["placement-cancelled"]:
        unasked = "late" if said.body.get("late") else "in-time"
        notice = "unattended" if said.body.get("reason") == "unattended" else unasked
        facts = {"by": said.body["by"], "notice": notice}
        for part in BOTH if said.body.get("reason") != "no-show" else ():
            yield said, said.body[f"{part}_id"], part, "", facts, f"placement-made:{said.subject}"
    for said in log["attendance-asked"]:
        facts = {name: said.body[name] for name in ("starts_at", "answer_by")}
        turn, context = f":{said.body['reminder']}", f"placement-made:{said.subject}"
        yield said, said.body["worker_id"], "worker", turn, facts, context
    for said in log["excuse-decided"]:
        facts = {"by": said.body["by"], "outcome": "accepted" if said.body["accepted"] else "refused"}
        for part in BOTH:
            yield said, said.body[f"{part}_id"], part, "", facts, f"placement-made:{said.subject}"
    for type_, parts, names in OF_PLACEMENTS:
        for said in log[type_]:
            for part in parts:
                facts = {name: said.body[name] for name in names if name in said.body}
                yield said, said.body[f"{part}_id"], part, "", facts, f"placement-made:{said.subject}"
    for said in log["employer-verified"]:
        until = said.body["verified_until"]
        turn = ":" + re.sub(r"[-:]", "", until)[:15]
        yield said, said.subject, "employer", turn, {"verified_until": until}, None
    for said in log["employer-verification-ending"]:
        facts = {name: said.body[name] for name in ("verified_until", "days_left")}
        turn = ":" + re.sub(r"[-:]", "", facts["verified_until"])[:15] + f".{facts['days_left']}"
        yield said, said.subject, "employer", turn, facts, None
    for said in log["review-decided"]:
        body = said.body
        yield said, body["employer_id"], "employer", f":{body['round']}", {"outcome": body["outcome"]}, None
    for said in log["employer-suspended"]:
        own = found["standings"].setdefault(said.subject, {"suspensions": 0})
        own["suspensions"] += 1
        yield said, said.subject, "employer", f":{own['suspensions']}", {"reason": said.body["reason"]}, None
    for said in log["reliability-changed"]:
        body = said.body
        if body["points"] < 0 or body["because"]:
            what = f"back-{body['because']}" if body["because"] else body["rule"]
            facts = {"what": what, "points": f"{body['points']:+d}", "score": body["score"]}
            yield said, body["party_id"], body["party"], "", facts, None
    yield from _of_gigs(log, found["gigs"])


def _of_gigs(log: Log, gigs: dict[str, Fields]) -> Iterator[tuple[Said, str, str, str, Fields, str | None]]:
    """An employer hears each time that a gig becomes full, and of its end, by the title it had then."""
    types = ("gig-posted", "gig-amended", "gig-filled", "gig-reopened", "gig-closed")
    titles: dict[str, str] = {}
    for said in sorted(
        (said for type_ in types for said in log[type_]), key=lambda said: (said.subject, said.sequence)
    ):
        own = gigs.get(said.subject)
        if own is None:
            continue
        match said.type:
            case "gig-posted" | "gig-amended":
                titles[said.subject] = said.body["terms"]["title"]
            case "gig-reopened":
                own["full"] = False
            case "gig-filled" if not own["full"]:
                own["full"], own["times_full"] = True, own["times_full"] + 1
                facts = {"title": titles[said.subject], "placed": said.body["placed"]}
                yield said, own["employer_id"], "employer", f":{own['times_full']}", facts, None
            case "gig-closed":
                facts = {"title": titles[said.subject], "reason": said.body["reason"]}
                yield said, own["employer_id"], "employer", "", facts, None


def _work(terms: Mapping[str, Any]) -> Fields:
    return {
        "title": terms["title"],
        "employer_name": terms["employer_name"],
        "address": terms["place"]["address"],
        "start": terms["period"]["start"],
        "end": terms["period"]["end"],
    }


# --- comparing -----------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as the log and a database both can say it: times as UTC text to the millisecond, tuples as lists."""
    match value:
        case str():
            return _moment(value) if value[10:11] == "T" and _TIME.fullmatch(value) else value
        case datetime():
            return value.replace(tzinfo=None).isoformat(timespec="milliseconds")
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case OneOf():
            return OneOf(tuple(plain(inner) for inner in value.values))
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return value


def _days_after(moment: str, days: int) -> str:
    return (datetime.fromisoformat(moment) + timedelta(days=days)).isoformat(timespec="milliseconds")


@lru_cache(100_000)
def _moment(text: str) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


class Difference(NamedTuple):
    """A field of a document that is not as it should be; `more`: it counts more than happened."""

    path: str
    found: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.path} is {self.found} instead of {self.wanted}"

    @property
    def more(self) -> bool:
        return isinstance(self.found, int) and isinstance(self.wanted, int) and self.found > self.wanted


def differences(found: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Difference]:
    """Where a document is not as the fields say, down to the field: `terms.headcount is 3 instead of 2`."""
    for name, wanted in fields.items():
        is_ = found.get(name, "not there")
        if isinstance(wanted, set):
            wanted, is_ = sorted(wanted), sorted(is_)
        wanted, is_ = plain(wanted), plain(is_)
        if is_ == wanted or (isinstance(wanted, OneOf) and is_ in wanted.values):
            continue
        if isinstance(wanted, dict) and isinstance(is_, dict) and wanted.keys() == is_.keys():
            yield from (inner._replace(path=f"{name}.{inner.path}") for inner in differences(is_, wanted))
        else:
            yield Difference(name, is_, wanted)
