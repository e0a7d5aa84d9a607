"""The market's moves: an offer is accepted or ends, a placement is confirmed or ends. Each acts within one unit.

Where a move is not allowed it raises a `Conflict` before it has written anything.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from opentelemetry import context, propagate

from services.matching import domain, store
from services.matching.domain import PlacementStatus
from services.matching.rules import Hours, Rules
from services.matching.store import Commitments, Gig, Offer, Placement, Profile, Seat
from shared import clock
from shared.contracts.matching import (
    AttendanceAsked,
    AttendanceConfirmed,
    ConfirmationLapsed,
    ExcuseDecided,
    OfferDeclined,
    OfferExpired,
    PlacementCancelled,
    PlacementMade,
)
from shared.contracts.posting import GigTerms
from shared.exemplars import exemplar
from shared.problems import Conflict, Invalid, Text
from shared.telemetry import METRICS
from shared.unit import Unit, at_once

OFFER_EXPIRY = "offer-expiry"
CONFIRMATION = "confirmation"
EXCUSE = "excuse"
ATTENDANCE = "attendance"
BACKFILL_END = "backfill-end"

CHOICE = 32
"""An acceptance chooses at random among so many open seats, so that a crowd does not meet at one document."""

Side = Literal["worker", "employer"]

PARTIES = frozenset({"gig_id", "worker_id", "employer_id", "district"})

OFFER_EXPIRED = Text("This offer stood until {expires_at}.", "该邀约有效期至 {expires_at}，已过期。")
GIG_FULL = Text("All seats of this gig are taken.", "该岗位名额已满。")
GIG_CLOSED = Text("This gig takes no more people.", "该岗位已停止招用。")
SHIFT_OVERLAP = Text(
    "You have a shift from {start} to {end}, which overlaps this one.",
    "您在 {start} 至 {end} 已有班次，与该岗位时间重叠。",
)
HOURS_CAP: dict[domain.CapKind, Text] = {
    "day": Text(
        "On {first_day} you may work {most} minutes and have promised {used}, so that {left} are left; this shift has "
        "{wanted}.",
        "{first_day} 当日最多工作 {most} 分钟，您已确认 {used} 分钟，还可工作 {left} 分钟；该班次为 {wanted} 分钟。",
    ),
    "week": Text(
        "In the week from {first_day} you may work {most} minutes and have promised {used}, so that {left} are left; "
        "this shift has {wanted}.",
        "{first_day} 起的一周最多工作 {most} 分钟，您已确认 {used} 分钟，还可工作 {left} 分钟；"
        "该班次为 {wanted} 分钟。",
    ),
    "employer-week": Text(
        "In the week from {first_day} you may work {most} minutes for one employer and have promised this one {used}, "
        "so that {left} are left; this shift has {wanted}.",
        "{first_day} 起的一周，为同一用工主体最多工作 {most} 分钟，您已确认 {used} 分钟，还可工作 {left} 分钟；"
        "该班次为 {wanted} 分钟。",
    ),
}
TOO_LITTLE_REST = Text(
    "You have a shift from {start} to {end}; between that day's work and this shift there must be {rest} minutes of "
    "rest.",
    "您在 {start} 至 {end} 已有班次；与该班次之间至少应休息 {rest} 分钟。",
)
ENDED = {
    "accepted": Text("You accepted this offer before.", "您此前已接受该邀约。"),
    "declined": Text("You declined this offer.", "您已谢绝该邀约。"),
    "amended": Text("The gig's terms have changed, so this offer has ended.", "岗位内容已变更，该邀约已失效。"),
    "gone": Text(
        "This offer ended when you checked out, or when you no longer fitted it.",
        "您已签退，或您的条件已不符合该岗位，该邀约随之失效。",
    ),
    "crew": Text("Too few people came together for this gig.", "该岗位未凑齐成班人数。"),
    "unconfirmed": Text("The employer did not confirm in time.", "用工主体未在期限内确认。"),
}
PLACEMENT_ENDED = Text("This placement has ended.", "该录用已结束。")
SHIFT_STARTED = Text(
    "The shift began at {start}, so it can no longer be cancelled.", "班次已于 {start} 开始，不能再取消。"
)
NOTHING_TO_CONFIRM = Text("This placement needs no confirmation.", "该录用无需确认。")
NO_EXCUSE = Text("must be one of: {choices}", "应为以下之一：{choices}")
NO_EXCUSE_WAITS = Text("No excuse waits for a decision here.", "此处没有待审核的取消理由。")
NOT_ASKED = Text("Nothing has to be said before this shift.", "该班次无需提前确认到岗。")
ATTEND_EARLY = Text(
    "You can say that you will come from {attend_from} on.", "可自 {attend_from} 起确认到岗，请届时再确认。"
)
ATTEND_LATE = Text("You could say that you will come until {attend_by}.", "确认到岗的期限为 {attend_by}，已过期。")
CONFIRM_LATE = Text("This could be confirmed until {confirm_by}.", "确认期限为 {confirm_by}，已过期。")


# --- offers ----------------------------------------------------------------------------------------------------------


async def accept(unit: Unit, offer: Offer) -> Placement:
    """Take a seat of the offer's gig for its worker.

    Raises `Conflict`: offer-expired, offer-ended, gig-full, gig-closed, shift-overlap, hours-cap, rest.
    """
    _must_stand(offer, unit.now)
    _, rules, blocked, seats = await at_once(  # one question, where commands share a transaction
        unit.load_each({Gig: [offer.gig_id], Commitments: [offer.worker_id], Profile: [offer.worker_id]}),
        store.RULES.of(unit, offer.district),
        store.is_blocked(unit, offer.employer_id, offer.worker_id),
        store.free_seats(unit, offer.gig_id, limit=CHOICE),
    )
    gig = await unit.get(Gig, offer.gig_id)
    if gig is None or not gig.takes(unit.now):
        raise Conflict("gig-closed", GIG_CLOSED, gig_id=offer.gig_id)
    if gig.edition != offer.edition:
        raise Conflict("offer-ended", ENDED["amended"], reason="amended")
    commitments = await commitments_of(unit, offer.worker_id)
    profile = await unit.get(Profile, offer.worker_id)
    if blocked:
        raise Conflict("offer-ended", ENDED["gone"], reason="gone")
    if profile and profile.profile.revision > offer.profile_revision:
        row = profile.profile.model_dump()
        if not domain.fits(row, offer.terms, offer.distance_m, rules, store.zone()):
            raise Conflict("offer-ended", ENDED["gone"], reason="gone")
    minor = profile is not None and profile.profile.minor
    if conflict := hours_conflict(commitments, offer.terms, rules.hours, minor=minor):
        raise conflict
    if not seats:
        raise Conflict("gig-full", GIG_FULL, gig_id=offer.gig_id)
    confirm_by = confirmation_due(offer, gig, rules, unit.now)
    return take(unit, offer, gig, random.choice(seats), commitments, rules, confirm_by, last=len(seats) == 1)


def _must_stand(offer: Offer, now: datetime) -> None:
    """Say why an offer can no longer be answered, if it cannot; also when the timer that ends it is late."""
    why = offer.reason or offer.ended or ("time" if now >= offer.expires_at else None)
    match why:
        case None:
            return
        case "time":
            raise Conflict("offer-expired", OFFER_EXPIRED, expires_at=offer.expires_at.isoformat())
        case "filled":
            raise Conflict("gig-full", GIG_FULL, gig_id=offer.gig_id)
        case "closed":
            raise Conflict("gig-closed", GIG_CLOSED, gig_id=offer.gig_id)
        case _:
            raise Conflict("offer-ended", ENDED[why], reason=why)


def hours_conflict(commitments: Commitments, terms: GigTerms, hours: Hours, *, minor: bool) -> Conflict | None:
    """Why a worker cannot promise a gig's shift beside what is promised: shift-overlap, hours-cap, rest."""
    period, zone = terms.period, store.zone()
    if promised := domain.clash(commitments.periods, period):
        start, end = promised.start.isoformat(), promised.end.isoformat()
        return Conflict("shift-overlap", SHIFT_OVERLAP, start=start, end=end)
    if over := domain.exceeded(commitments.periods, period, terms.employer_id, hours, zone, minor=minor):
        return Conflict(
            "hours-cap",
            HOURS_CAP[over.cap.kind],
            cap=over.cap.kind,
            first_day=over.cap.first_day,
            most=over.most,
            used=over.used,
            left=max(0, over.most - over.used),
            wanted=over.wanted,
        )
    if promised := domain.unrested(commitments.periods, period, hours, zone):
        start, end = promised.start.isoformat(), promised.end.isoformat()
        return Conflict("rest", TOO_LITTLE_REST, start=start, end=end, rest=hours.rest_minutes)
    return None


def confirmation_due(offer: Offer, gig: Gig, rules: Rules, now: datetime) -> datetime | None:
    """By when the employer must confirm an acceptance that comes now; None for an instant gig."""
    if offer.terms.hiring == "instant":
        return None
    start = offer.terms.period.start
    return min(now + rules.confirm_within, start if now < start else gig.open_until(now) or now)


def take(
    unit: Unit,
    offer: Offer,
    gig: Gig,
    seat: Seat,
    commitments: Commitments,
    rules: Rules,
    confirm_by: datetime | None = None,
    *,
    last: bool,
) -> Placement:
    """The worker of an offer takes a seat, all being in order. `last`: no other was seen to be free.

    It is a placement at once, or when confirmed, or when the crew is whole: the next window sees to that, and to the
    offers of a gig that is full. What else it changes (how far people's circles reach) waits for the next look.
    """
    status: PlacementStatus = "placed"
    if gig.crew == "gathering":
        status = "held"
    elif confirm_by:
        status = "awaiting-confirmation"
    placement = Placement(
        id=clock.new_id(),
        offer_id=offer.id,
        seat=seat.number,
        status=status,
        at=unit.now,
        confirm_by=confirm_by,
        arrive_by=_arrive_by(offer, confirm_by, unit.now),
        **offer.model_dump(include={"gig_id", "worker_id", "employer_id", "district", "checked_in_at"}),
        terms=offer.terms,
        after=[
            *([seat.after] if seat.after else []),
            *(past.placement_id for past in commitments.released if past.overlaps(offer.terms.period)),
        ],
    )
    seat.open, seat.placement_id = False, placement.id
    offer.open, offer.ended, offer.placement_id = False, "accepted", placement.id
    commitments.add(offer.terms.period, placement.id, offer.employer_id, unit.now)
    commitments.offer_id = None
    for document in (seat, offer, commitments, placement):
        unit.save(document)
    if status == "placed":
        announce(unit, placement, commitments, rules)
    elif confirm_by:
        unit.set_timer(CONFIRMATION, placement.id, confirm_by)
    if last or gig.crew == "gathering":
        unit.nudge(offer.district)
    return placement


def _arrive_by(offer: Offer, confirm_by: datetime | None, now: datetime) -> datetime | None:
    """A substitute who must be confirmed does not set out before that."""
    wait = confirm_by - now if confirm_by else timedelta()
    return offer.arrive_by + wait if offer.arrive_by else None


async def decline(unit: Unit, offer: Offer) -> None:
    """The worker says no; the gig is not offered to them again. Raises `Conflict` when the offer has ended."""
    _must_stand(offer, unit.now)
    offer.ended, offer.refused = "declined", True
    await _end(unit, offer)
    unit.publish(OfferDeclined(**_names(offer)))


async def expire(unit: Unit, offer: Offer, reason: domain.ExpiryReason) -> None:
    """The offer ends without an answer, said in its own trace. Who let its time pass is not offered the gig again."""
    offer.ended, offer.reason, offer.refused = "expired", reason, reason == "time"
    await _end(unit, offer)
    token = context.attach(propagate.extract(offer.trace))
    try:
        unit.publish(ended(offer))
    finally:
        context.detach(token)


async def expire_due(unit: Unit, ids: Sequence[str]) -> None:
    """End those of these offers that are open and whose time has come."""
    offers = await open_offers(unit, ids)
    for offer in offers:
        if unit.now >= offer.expires_at:
            await expire(unit, offer, "gone" if unit.now >= offer.present_until else "time")


async def open_offers(unit: Unit, ids: Sequence[str]) -> list[Offer]:
    """Those of these offers that are open, with what their ends will need at hand."""
    await unit.load(Offer, ids)
    offers = [offer for id in ids if (offer := await unit.get(Offer, id)) and offer.open]
    await unit.load(Commitments, [offer.worker_id for offer in offers])
    return offers


async def _end(unit: Unit, offer: Offer) -> None:
    offer.open = False
    unit.save(offer)
    commitments = await commitments_of(unit, offer.worker_id)
    if commitments.offer_id == offer.id:
        commitments.offer_id = None
        if offer.refused:
            commitments.refused(offer.made_at)
        unit.save(commitments)
    unit.nudge(offer.district)


def ended(offer: Offer) -> OfferExpired:
    """What is said of an offer that expired."""
    if offer.reason == "crew":
        return OfferExpired(**_names(offer), reason="unconfirmed", detail="crew")
    return OfferExpired(**_names(offer), reason=offer.reason)


def _names(offer: Offer) -> dict[str, str]:
    return {"offer_id": offer.id, **offer.model_dump(include={"gig_id", "worker_id", "district"})}


# --- placements ------------------------------------------------------------------------------------------------------


def announce(unit: Unit, placement: Placement, commitments: Commitments, rules: Rules) -> None:
    """From here on others hear of the placement, and the check-ins before it are over."""
    placement.status, placement.at, commitments.placed_at = "placed", unit.now, unit.now
    commitments.had_turn(placement.id, unit.now)
    _plan_asking(unit, placement, rules)
    unit.save(placement)
    unit.save(commitments)
    unit.publish(made(placement), after=placement.after)


def made(placement: Placement) -> PlacementMade:
    """What is said of a placement when it is one."""
    names = {"offer_id", "gig_id", "seat", "worker_id", "employer_id", "district", "at", "arrive_by"}
    return PlacementMade(placement_id=placement.id, terms=placement.terms, **placement.model_dump(include=names))


async def remember(unit: Unit, event: PlacementMade) -> None:
    """After a restore: a placement that was announced holds its seat and its worker's time again."""
    known = await unit.get(Placement, event.placement_id)
    if known is not None and known.status in ("placed", "cancelled"):
        return
    offer = await unit.get(Offer, event.offer_id)
    names = {"offer_id", "gig_id", "seat", "worker_id", "employer_id", "district", "at", "arrive_by"}
    placement = known or Placement(
        id=event.placement_id,
        status="placed",
        checked_in_at=offer.checked_in_at if offer else event.at,
        terms=event.terms,
        **event.model_dump(include=names),
    )
    placement.status, placement.at = "placed", event.at
    id = store.seat_id(event.gig_id, event.seat)
    seat = await unit.get(Seat, id) or Seat(
        id=id, gig_id=event.gig_id, number=event.seat, district=event.district, until=event.terms.valid_until
    )
    seat.open, seat.placement_id = False, placement.id
    commitments = await commitments_of(unit, event.worker_id)
    if all(period.placement_id != placement.id for period in commitments.periods):
        commitments.add(event.terms.period, placement.id, event.employer_id, event.at)
    commitments.placed_at = event.at
    commitments.had_turn(placement.id, event.at)
    if offer and offer.open:
        offer.open, offer.ended, offer.placement_id = False, "accepted", placement.id
        unit.save(offer)
    if commitments.offer_id == event.offer_id:
        commitments.offer_id = None
    unit.cancel_timer(OFFER_EXPIRY, event.offer_id)
    unit.cancel_timer(CONFIRMATION, placement.id)
    for document in (seat, commitments, placement):
        unit.save(document)


async def remember_end(unit: Unit, event: PlacementCancelled) -> None:
    """After a restore: a cancelled placement holds no seat, and its pair is not brought together again."""
    placement = await unit.get(Placement, event.placement_id)
    if placement is None or not placement.stands:
        return
    await _release(unit, placement)
    unit.cancel_timer(ATTENDANCE, placement.id)
    placement.status, placement.cancelled_by, placement.cancelled_at = "cancelled", event.by, event.at
    placement.cancelled_for, placement.late, placement.excuse = event.reason, event.late, event.excuse
    placement.compensation_fen = event.compensation_fen
    unit.save(placement)
    offer = await unit.get(Offer, placement.offer_id)
    if offer:
        offer.refused = True
        unit.save(offer)


async def confirm(unit: Unit, placement: Placement) -> None:
    """The employer confirms. Raises `Conflict`: placement-ended, not-awaiting, confirmation-late."""
    if not placement.stands:
        raise Conflict("placement-ended", PLACEMENT_ENDED)
    if placement.confirm_by is None or placement.status == "placed":
        raise Conflict("not-awaiting", NOTHING_TO_CONFIRM)
    if unit.now >= placement.confirm_by:
        raise Conflict("confirmation-late", CONFIRM_LATE, confirm_by=placement.confirm_by.isoformat())
    unit.cancel_timer(CONFIRMATION, placement.id)
    rules = await store.RULES.of(unit, placement.district)
    announce(unit, placement, await commitments_of(unit, placement.worker_id), rules)


def _plan_asking(unit: Unit, placement: Placement, rules: Rules) -> None:
    """Who is placed long ahead will be asked whether they come."""
    asking, start = rules.attendance, placement.begins
    if start - unit.now <= asking.ahead:
        return
    times = [start - before for before in asking.reminders]
    placement.attend_from, placement.attend_by = times[0], start - asking.due
    placement.reminders = [at for at in times if at > unit.now]
    _set_asking(unit, placement)


def _set_asking(unit: Unit, placement: Placement) -> None:
    if at := placement.next_asking:
        unit.set_timer(ATTENDANCE, placement.id, at)


async def ask(unit: Unit, placement: Placement) -> None:
    """It is time to remind a worker of their shift, or to give the seat to somebody else."""
    if placement.attend_by and unit.now >= placement.attend_by:
        await _undo(unit, placement, "market", "unattended")
        return
    placement.reminders = [at for at in placement.reminders if at > unit.now]
    placement.reminded += 1
    unit.save(placement)
    _set_asking(unit, placement)
    unit.publish(
        AttendanceAsked(
            placement_id=placement.id,
            **placement.model_dump(include=set(PARTIES)),
            starts_at=placement.begins,
            answer_by=placement.attend_by,
            reminder=placement.reminded,
        )
    )


def attend(unit: Unit, placement: Placement) -> None:
    """The worker will come; saying it again changes nothing.

    Raises `Conflict`: placement-ended, not-asked, attendance-early, attendance-late.
    """
    if not placement.stands:
        raise Conflict("placement-ended", PLACEMENT_ENDED)
    if placement.attend_from is None or placement.attend_by is None:
        raise Conflict("not-asked", NOT_ASKED)
    if placement.attending_at:
        return
    if unit.now < placement.attend_from:
        raise Conflict("attendance-early", ATTEND_EARLY, attend_from=placement.attend_from.isoformat())
    if unit.now >= placement.attend_by:
        raise Conflict("attendance-late", ATTEND_LATE, attend_by=placement.attend_by.isoformat())
    placement.attending_at = unit.now
    unit.save(placement)
    unit.cancel_timer(ATTENDANCE, placement.id)
    names = placement.model_dump(include=set(PARTIES))
    unit.publish(AttendanceConfirmed(placement_id=placement.id, **names, at=unit.now))


async def lapse(unit: Unit, placement: Placement) -> None:
    """Nobody confirmed in time: the seat is open again, and both may look elsewhere."""
    await _release(unit, placement)
    placement.status = "lapsed"
    offer = await _refuse_pair(unit, placement)
    offer.ended, offer.reason = "expired", "unconfirmed"
    unit.publish(OfferExpired(**_names(offer), reason="unconfirmed"))
    names = placement.model_dump(include={*PARTIES, "offer_id"})
    unit.publish(ConfirmationLapsed(placement_id=placement.id, at=unit.now, **names))


class Cost(NamedTuple):
    """What a cancellation leads to: it is `late`, and this is what an employer owes for that, in fen."""

    late: bool
    compensation_fen: int


def cost(placement: Placement, by: Side, rules: Rules, now: datetime) -> Cost:
    """What it would lead to if a side cancelled now: nothing where others have not heard of the placement.

    Raises `Conflict`: placement-ended, shift-started.
    """
    if not placement.stands:
        raise Conflict("placement-ended", PLACEMENT_ENDED)
    if now >= placement.begins:
        raise Conflict("shift-started", SHIFT_STARTED, start=placement.begins.isoformat())
    short = rules.cancellation
    if placement.status != "placed" or not domain.is_late(placement.begins, now, short.notice):
        return Cost(late=False, compensation_fen=0)
    terms, usual = placement.terms, rules.usual_fen_per_hour
    owed = domain.compensation_fen(terms.pay, terms.period, short.paid, usual) if by == "employer" else 0
    return Cost(late=True, compensation_fen=owed)


async def cancel(unit: Unit, placement: Placement, by: Side, excuse: str | None = None) -> None:
    """Undo a placement before its shift starts. The pair is not brought together for this gig again.

    A late one's excuse waits for a clerk; in time none is needed, and none is kept.
    Raises `Conflict` as `cost` does, and `Invalid` for an excuse that is not on the side's list.
    """
    rules = await store.RULES.of(unit, placement.district)
    choices = getattr(rules.cancellation.excuses, by)
    if excuse is not None and excuse not in choices:
        raise Invalid("excuse", NO_EXCUSE, choices=", ".join(choices))
    if placement.status == "held" and (await _gig_of(unit, placement)).crew == "whole":
        announce(unit, placement, await commitments_of(unit, placement.worker_id), rules)
    placement.late, placement.compensation_fen = cost(placement, by, rules, unit.now)
    if placement.late and excuse:
        placement.excuse, placement.excuse_state = excuse, "waiting"
        placement.excuse_until = unit.now + rules.cancellation.decided_within
        unit.set_timer(EXCUSE, placement.id, placement.excuse_until)
    announced = placement.status == "placed"
    offer = await _undo(unit, placement, by)
    if announced:
        return
    unit.cancel_timer(CONFIRMATION, placement.id)
    if by == "worker":
        offer.ended = "declined"
        (await commitments_of(unit, placement.worker_id)).refused(offer.made_at)
        unit.publish(OfferDeclined(**_names(offer)))
    else:
        offer.ended, offer.reason = "expired", "unconfirmed"
        unit.publish(OfferExpired(**_names(offer), reason="unconfirmed"))


async def replace(unit: Unit, placement: Placement) -> None:
    """Its worker did not come: the seat is for somebody else, as long as that is of use."""
    gig = await _gig_of(unit, placement)
    rules = await store.RULES.of(unit, placement.district)
    gig.backfill_until = gig.terms.period.end - rules.backfill.least
    unit.set_timer(BACKFILL_END, gig.id, gig.backfill_until)
    await _undo(unit, placement, "market", "no-show")


async def leave(unit: Unit, person_id: str) -> None:
    """A worker's or employer's account is erased: their open offer expires, placements ahead are undone."""
    for offer in await store.open_offers_of(unit, person_id):
        await expire(unit, offer, "gone")
    for placement in await store.standing_of(unit, person_id):
        if placement.status != "placed":
            unit.cancel_timer(CONFIRMATION, placement.id)
            await lapse(unit, placement)
        elif unit.now < placement.begins:
            await _undo(unit, placement, "market", "erased")


async def end_backfill(unit: Unit, gig: Gig) -> None:
    """It is too late for a substitute. A gig that is not closed yet keeps its seats until it is."""
    for seat in await store.seats_of(unit, gig.id) if gig.closed else []:
        if seat.open:
            unit.delete(seat)
    unit.nudge(gig.district)


async def _undo(unit: Unit, placement: Placement, by: Side | Literal["market"], reason: str | None = None) -> Offer:
    """End a placement, and say so if others have heard of it; returns its offer, which is not made again."""
    announced = placement.status == "placed"
    await _release(unit, placement)
    unit.cancel_timer(ATTENDANCE, placement.id)
    placement.status, placement.cancelled_by, placement.cancelled_at = "cancelled", by, unit.now
    placement.cancelled_for = reason
    if by == "employer":
        (await commitments_of(unit, placement.worker_id)).turns.pop(placement.id, None)
    if announced:
        unit.publish(cancelled(placement))
    return await _refuse_pair(unit, placement)


def cancelled(placement: Placement) -> PlacementCancelled:
    """What is said of a placement when it was cancelled."""
    return PlacementCancelled(
        placement_id=placement.id,
        **placement.model_dump(include={*PARTIES, "seat", "late", "excuse"}),
        by=placement.cancelled_by,
        at=placement.cancelled_at,
        compensation_fen=0 if placement.excuse else placement.compensation_fen,
        reason=placement.cancelled_for,
    )


def decide_excuse(unit: Unit, placement: Placement, *, accepted: bool) -> None:
    """A clerk decides on the excuse for a late cancellation. Raises `Conflict`: no-excuse-waits."""
    if placement.excuse_state != "waiting":
        raise Conflict("no-excuse-waits", NO_EXCUSE_WAITS)
    placement.excuse_state = "accepted" if accepted else "refused"
    unit.save(placement)
    unit.cancel_timer(EXCUSE, placement.id)
    unit.publish(
        ExcuseDecided(
            placement_id=placement.id,
            **placement.model_dump(include={*PARTIES, "excuse"}),
            by="worker" if placement.cancelled_by == "worker" else "employer",
            accepted=accepted,
            compensation_fen=0 if accepted else placement.compensation_fen,
            at=unit.now,
        )
    )


async def _release(unit: Unit, placement: Placement) -> None:
    """Free the seat and the worker's time."""
    gig = await _gig_of(unit, placement)
    seat = await unit.get(Seat, store.seat_id(placement.gig_id, placement.seat))
    if seat is None or seat.placement_id != placement.id:
        raise LookupError(f"placement {placement.id} has no seat")
    await free(unit, gig, seat, announced=placement.status == "placed")
    commitments = await commitments_of(unit, placement.worker_id)
    commitments.drop(placement.id)
    for document in (commitments, placement):
        unit.save(document)


async def free(unit: Unit, gig: Gig, seat: Seat, *, announced: bool = True) -> None:
    """Nobody has this seat any more: it is open again, or gone when its gig takes nobody or was given fewer seats.

    `announced`: others have heard of the placement that had it.
    """
    seat.after = seat.placement_id if announced else seat.after
    until = gig.open_until(unit.now) or (gig.ends if gig.closed is None and gig.crew != "failed" else None)
    if until and await store.seat_count(unit, gig.id) <= gig.terms.headcount:
        seat.open, seat.placement_id, seat.until = True, None, until
        unit.save(seat)
    else:
        unit.delete(seat)
        if seat.after:
            gig.freed[str(seat.number)] = seat.after
    unit.save(gig)
    unit.nudge(gig.district)


async def _gig_of(unit: Unit, placement: Placement) -> Gig:
    gig = await unit.get(Gig, placement.gig_id)
    if gig is None:
        raise LookupError(f"placement {placement.id} has no gig")
    return gig


async def _refuse_pair(unit: Unit, placement: Placement) -> Offer:
    offer = await unit.get(Offer, placement.offer_id)
    if offer is None:
        raise LookupError(f"placement {placement.id} has no offer")
    offer.refused = True
    unit.save(offer)
    return offer


async def commitments_of(unit: Unit, worker_id: str) -> Commitments:
    return await unit.get(Commitments, worker_id) or Commitments(id=worker_id)


def measure(placement: Placement, trace: Mapping[str, str] | None = None) -> None:
    """Count how long a placement took, in this trace or the current one. For after its commit, since a unit may run
    more than once."""
    METRICS.time_to_placement.labels(placement.district).observe(
        (placement.at - placement.checked_in_at).total_seconds(), exemplar(trace)
    )
