"""Who is told of what. Each handler saves messages; sending them is the sender's work, showing them the stream's."""

from collections.abc import Callable, Iterable
from typing import Literal

import h3
import structlog

from services.notify.broadcast import (
    announce_article,
    near,
    spread_alert,
    spread_article,
    spread_notice,
    spread_withdrawal,
    tell_of_alert,
)
from services.notify.domain import about, kind_of
from services.notify.personal import PERSONAL
from services.notify.store import Delivery, Gig, Message, Presence, Standing, alerts_on
from services.notify.telling import NEEDED, tell
from services.notify.texts import Fact, Part
from shared.contracts import Event
from shared.contracts.identity import AccountErased
from shared.contracts.matching import (
    AttendanceAsked,
    AttendanceConfirmed,
    ExcuseDecided,
    OfferExpired,
    OfferMade,
    PlacementCancelled,
    PlacementMade,
)
from shared.contracts.notify import DeliveryFailed, DeliveryMade
from shared.contracts.posting import (
    EmployerSuspended,
    EmployerVerificationEnding,
    EmployerVerified,
    GigAmended,
    GigClosed,
    GigFilled,
    GigPosted,
    GigReopened,
    GigTerms,
    ReviewDecided,
)
from shared.contracts.rights import (
    AgreementMade,
    ArticlePublished,
    CaseAdvanced,
    CaseClosed,
    CaseEscalated,
    CaseInvited,
    CaseOpened,
    CoverRefused,
    PayConfirmed,
    PayContested,
    PayCorrected,
    PayDue,
    PayOverdue,
    ReliabilityChanged,
    SanctionLifted,
    SanctionSet,
    ShiftMissed,
    ShiftStarted,
    TimesheetDisputed,
    TimesheetEscalated,
    TimesheetLapsed,
    TimesheetSettled,
    TimesheetUnanswered,
)
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut
from shared.personal import erase
from shared.reactions import Reactions
from shared.sealed import PersonKey, erased
from shared.unit import Document, Timer, Unit

log = structlog.get_logger()
react = Reactions()

BOTH: tuple[Part, ...] = ("worker", "employer")

WORTH_TELLING = frozenset({"filled", "closed", "unconfirmed"})
"""Ends of an offer that its worker hears of; of the others they know, or they matter to nobody."""

Documents = Iterable[tuple[type[Document], str]]


def people(*parts: Part) -> Callable[[Event], Documents]:
    """What telling these people needs."""

    def of(event: Event) -> Documents:
        for part in parts:
            person = str(getattr(event, f"{part}_id"))
            yield Message, f"{about(event)}:{person}"
            yield from ((kind, person) for kind in NEEDED)

    return of


def the_gig(event: GigPosted | GigAmended | GigFilled | GigReopened | GigClosed) -> Documents:
    return [(Gig, event.gig_id)]


def the_full_gig(event: GigFilled) -> Documents:
    """The gig and what telling its employer needs: most gigs become full, and mostly once."""
    yield Gig, event.gig_id
    if person := event.employer_id:
        yield Message, f"{about(event)}{_turn(1)}:{person}"
        yield from ((kind, person) for kind in NEEDED)


def _turn(times_full: int) -> str:
    return f":{times_full}"


# --- offers and placements -------------------------------------------------------------------------------------------


def _work(terms: GigTerms) -> dict[str, Fact]:
    return {
        "title": terms.title,
        "employer_name": terms.employer_name,
        "address": terms.place.address,
        "start": terms.period.start,
        "end": terms.period.end,
    }


@react.to(OfferMade, needs=people("worker"))
async def tell_of_offer(event: OfferMade, unit: Unit) -> None:
    pay = event.terms.pay
    facts: dict[str, Fact] = {"amount_fen": pay.amount_fen, "unit": pay.unit.value, "expires_at": event.expires_at}
    await tell(unit, event, "worker", _work(event.terms) | facts, until=event.expires_at)


@react.to(OfferExpired, needs=people("worker"))
async def tell_of_ended_offer(event: OfferExpired, unit: Unit) -> None:
    """Only where the worker was told of the offer, and would otherwise wait for it."""
    offer = f"offer-made:{event.offer_id}"
    if event.reason in WORTH_TELLING and await unit.get(Message, f"{offer}:{event.worker_id}"):
        await tell(unit, event, "worker", {"reason": event.detail or event.reason}, context=offer)


@react.to(PlacementMade, needs=people(*BOTH))
async def tell_of_placement(event: PlacementMade, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, _work(event.terms) | {"seat": event.seat})


@react.to(PlacementCancelled, needs=people(*BOTH))
async def tell_of_cancelled_placement(event: PlacementCancelled, unit: Unit) -> None:
    """Both know already that nobody came."""
    notice = "unattended" if event.reason == "unattended" else "late" if event.late else "in-time"
    facts: dict[str, Fact] = {"by": event.by, "notice": notice}
    for part in () if event.reason == "no-show" else BOTH:
        await tell(unit, event, part, facts, context=_placement(event))


@react.to(ExcuseDecided, needs=people(*BOTH))
async def tell_of_excuse(event: ExcuseDecided, unit: Unit) -> None:
    facts: dict[str, Fact] = {"by": event.by, "outcome": "accepted" if event.accepted else "refused"}
    for part in BOTH:
        await tell(unit, event, part, facts, context=_placement(event))


@react.to(AttendanceAsked, needs=people("worker"))
async def tell_of_asking(event: AttendanceAsked, unit: Unit) -> None:
    """Each reminder is a message of its own; after its time there is nothing left to answer."""
    facts: dict[str, Fact] = {"starts_at": event.starts_at, "answer_by": event.answer_by}
    turn, until = f":{event.reminder}", event.answer_by
    await tell(unit, event, "worker", facts, turn=turn, context=_placement(event), until=until)


@react.to(AttendanceConfirmed, needs=people("employer"))
async def tell_of_attendance(event: AttendanceConfirmed, unit: Unit) -> None:
    await tell(unit, event, "employer", {"at": event.at}, context=_placement(event))


def _placement(
    event: PlacementCancelled
    | AttendanceAsked
    | AttendanceConfirmed
    | ExcuseDecided
    | AgreementMade
    | CoverRefused
    | ShiftStarted
    | ShiftMissed
    | TimesheetUnanswered
    | TimesheetDisputed
    | TimesheetEscalated
    | TimesheetSettled
    | TimesheetLapsed
    | PayDue
    | PayCorrected
    | PayConfirmed
    | PayContested
    | PayOverdue,
) -> str:
    return f"placement-made:{event.placement_id}"


# --- agreements, shifts, pay -----------------------------------------------------------------------------------------


@react.to(AgreementMade, needs=people("worker"))
async def tell_of_agreement(event: AgreementMade, unit: Unit) -> None:
    await tell(unit, event, "worker", {"starts_at": event.starts_at}, context=_placement(event))


@react.to(CoverRefused, needs=people(*BOTH))
async def tell_of_refused_cover(event: CoverRefused, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {}, context=_placement(event))


@react.to(ShiftStarted, needs=people("employer"))
async def tell_of_start(event: ShiftStarted, unit: Unit) -> None:
    await tell(unit, event, "employer", {"at": event.at}, context=_placement(event))


@react.to(ShiftMissed, needs=people(*BOTH))
async def tell_of_missed_shift(event: ShiftMissed, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {"at": event.at}, context=_placement(event))


@react.to(PayDue, needs=people(*BOTH))
async def tell_of_pay(event: PayDue, unit: Unit) -> None:
    facts: dict[str, Fact] = {"amount_fen": event.amount_fen, "due_at": event.due_at, "reason": event.reason}
    for part in BOTH:
        await tell(unit, event, part, facts, context=_placement(event))


@react.to(TimesheetUnanswered, needs=people("employer"))
async def remind_of_hours(event: TimesheetUnanswered, unit: Unit) -> None:
    facts: dict[str, Fact] = {"minutes": event.minutes, "answer_by": event.answer_by}
    await tell(unit, event, "employer", facts, context=_placement(event), until=event.answer_by)


@react.to(TimesheetEscalated, needs=people(*BOTH))
async def tell_of_waiting_dispute(event: TimesheetEscalated, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {"settle_by": event.settle_by}, context=_placement(event))


@react.to(TimesheetLapsed, needs=people(*BOTH))
async def tell_of_lapsed_dispute(event: TimesheetLapsed, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {"minutes": event.minutes}, context=_placement(event))


@react.to(TimesheetDisputed, needs=people("worker"))
async def tell_of_disputed_hours(event: TimesheetDisputed, unit: Unit) -> None:
    facts: dict[str, Fact] = {"minutes": event.minutes, "claimed_minutes": event.claimed_minutes}
    await tell(unit, event, "worker", facts, context=_placement(event))


@react.to(TimesheetSettled, needs=people(*BOTH))
async def tell_of_settled_hours(event: TimesheetSettled, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {"minutes": event.minutes}, context=_placement(event))


@react.to(PayCorrected, needs=people(*BOTH))
async def tell_of_corrected_pay(event: PayCorrected, unit: Unit) -> None:
    for part in BOTH:
        await tell(unit, event, part, {"amount_fen": event.amount_fen}, context=_placement(event))


@react.to(PayConfirmed, needs=people("employer"))
async def tell_of_confirmed_pay(event: PayConfirmed, unit: Unit) -> None:
    await tell(unit, event, "employer", {"amount_fen": event.amount_fen}, context=_placement(event))


@react.to(PayOverdue, needs=people(*BOTH))
async def tell_of_overdue_pay(event: PayOverdue, unit: Unit) -> None:
    facts: dict[str, Fact] = {"amount_fen": event.amount_fen, "due_at": event.due_at}
    for part in BOTH:
        await tell(unit, event, part, facts, context=_placement(event))


@react.to(PayContested, needs=people("employer"))
async def tell_of_contested_pay(event: PayContested, unit: Unit) -> None:
    """It may be contested again after it was marked as paid again, and its employer is told each time."""
    turn = f":{event.at:%Y%m%dT%H%M%S}"
    await tell(unit, event, "employer", {"amount_fen": event.amount_fen}, turn=turn, context=_placement(event))


# --- cases and sanctions ---------------------------------------------------------------------------------------------


def _of_case(event: CaseOpened | CaseAdvanced | CaseInvited | CaseEscalated | CaseClosed) -> tuple[Part, ...]:
    """An employer hears of arrears, which it can mend, and of another case once the desk has asked it to mediation."""
    concerned = event.kind == "arrears" or (not isinstance(event, CaseOpened) and event.employer_concerned)
    return BOTH if concerned and event.employer_id else ("worker",)


@react.to(CaseOpened, needs=lambda event: people(*_of_case(event))(event))
async def tell_of_opened_case(event: CaseOpened, unit: Unit) -> None:
    for part in _of_case(event):
        await tell(unit, event, part, {"receipt": event.receipt, "kind": event.kind})


@react.to(CaseAdvanced, needs=lambda event: people(*_of_case(event))(event))
async def tell_of_advanced_case(event: CaseAdvanced, unit: Unit) -> None:
    """A case may come to a state again, so that each step is a message of its own."""
    with_whom = f"-{event.referred_to}" if event.state in ("referred", "taken-up") else ""
    for part in _of_case(event):
        facts: dict[str, Fact] = {"receipt": event.receipt, "state": f"{event.state}{with_whom}"}
        await tell(unit, event, part, facts, turn=f":{event.step}")


@react.to(CaseInvited, needs=lambda event: people(*_of_case(event))(event))
async def tell_of_invitation(event: CaseInvited, unit: Unit) -> None:
    for part in _of_case(event):
        facts: dict[str, Fact] = {"receipt": event.receipt, "to": event.to, "starts_at": event.starts_at}
        await tell(unit, event, part, facts, turn=f":{event.step}", until=event.starts_at)


@react.to(CaseClosed, needs=lambda event: people(*_of_case(event))(event))
async def tell_of_closed_case(event: CaseClosed, unit: Unit) -> None:
    facts: dict[str, Fact] = {"receipt": event.receipt, "outcome": event.outcome}
    for part in _of_case(event):
        await tell(unit, event, part, facts)


@react.to(CaseEscalated, needs=lambda event: people(*_of_case(event))(event))
async def tell_of_escalated_case(event: CaseEscalated, unit: Unit) -> None:
    """Each time limit that passes is a message of its own, also when one of its name passes again."""
    turn = f":{event.limit}.{event.due_at:%Y%m%dT%H%M%S}"
    facts: dict[str, Fact] = {"receipt": event.receipt, "limit": event.limit, "due_at": event.due_at}
    for part in _of_case(event):
        await tell(unit, event, part, facts, turn=turn)


@react.to(SanctionSet)
async def tell_of_sanction(event: SanctionSet, unit: Unit) -> None:
    facts: dict[str, Fact] = {"kind": event.kind, "reason": event.reason}
    await tell(unit, event, event.party, facts, person=event.party_id)


@react.to(SanctionLifted)
async def tell_of_lifted_sanction(event: SanctionLifted, unit: Unit) -> None:
    await tell(unit, event, event.party, {"reason": event.reason}, person=event.party_id)


@react.to(ReliabilityChanged)
async def tell_of_points(event: ReliabilityChanged, unit: Unit) -> None:
    """Of what was taken, and given back. What good work gives is in the ledger."""
    if event.points < 0 or event.because:
        what = f"back-{event.because}" if event.because else event.rule
        facts: dict[str, Fact] = {"what": what, "points": f"{event.points:+d}", "score": event.score}
        await tell(unit, event, event.party, facts, person=event.party_id)


# --- employers and their gigs ----------------------------------------------------------------------------------------


@react.to(ReviewDecided, needs=people("employer"))
async def tell_of_review(event: ReviewDecided, unit: Unit) -> None:
    await tell(unit, event, "employer", {"outcome": event.outcome}, turn=f":{event.round}")


@react.to(EmployerVerified, needs=people("employer"))
async def tell_of_verification(event: EmployerVerified, unit: Unit) -> None:
    until = event.verified_until
    await tell(unit, event, "employer", {"verified_until": until}, turn=f":{until:%Y%m%dT%H%M%S}")


@react.to(EmployerVerificationEnding, needs=people("employer"))
async def tell_of_ending_verification(event: EmployerVerificationEnding, unit: Unit) -> None:
    facts: dict[str, Fact] = {"verified_until": event.verified_until, "days_left": event.days_left}
    await tell(unit, event, "employer", facts, turn=f":{event.verified_until:%Y%m%dT%H%M%S}.{event.days_left}")


@react.to(EmployerSuspended, needs=lambda event: [(Standing, event.employer_id)])
async def tell_of_suspension(event: EmployerSuspended, unit: Unit) -> None:
    """An employer may be refused again and again, and is told each time: the inbox alone takes repeated events away."""
    standing = await unit.get(Standing, event.employer_id) or Standing(id=event.employer_id)
    standing.suspensions += 1
    unit.save(standing)
    await tell(unit, event, "employer", {"reason": event.reason}, turn=f":{standing.suspensions}")


@react.to(GigPosted, needs=the_gig)
async def remember_gig(event: GigPosted, unit: Unit) -> None:
    await _remember(event, unit)


@react.to(GigAmended, needs=the_gig)
async def remember_amended_gig(event: GigAmended, unit: Unit) -> None:
    await _remember(event, unit)


async def _remember(event: GigPosted | GigAmended, unit: Unit) -> None:
    gig = await unit.get(Gig, event.gig_id)
    if gig is None:
        gig = Gig(id=event.gig_id, employer_id=event.terms.employer_id, title=event.terms.title)
    gig.title = event.terms.title
    unit.save(gig)


async def _known(event: GigFilled | GigReopened | GigClosed, unit: Unit) -> Gig | None:
    """The gig. Where a topic begins behind the event that tells whose it is, there is nobody to tell."""
    gig = await unit.get(Gig, event.gig_id)
    if gig is None:
        log.warning("nobody to tell: the gig is not known", kind=kind_of(event), gig_id=event.gig_id)
    return gig


@react.to(GigFilled, needs=the_full_gig)
async def tell_of_full_gig(event: GigFilled, unit: Unit) -> None:
    """Each time that it becomes full: once, and again after its seats were open in between."""
    gig = await _known(event, unit)
    if gig is None or gig.full:
        return
    gig.full, gig.times_full = True, gig.times_full + 1
    unit.save(gig)
    facts: dict[str, Fact] = {"title": gig.title, "placed": event.placed}
    await tell(unit, event, "employer", facts, person=gig.employer_id, turn=_turn(gig.times_full))


@react.to(GigReopened, needs=the_gig)
async def expect_gig_to_fill(event: GigReopened, unit: Unit) -> None:
    gig = await _known(event, unit)
    if gig and gig.full:
        gig.full = False
        unit.save(gig)


@react.to(GigClosed, needs=the_gig)
async def tell_of_closed_gig(event: GigClosed, unit: Unit) -> None:
    gig = await _known(event, unit)
    if gig:
        facts = {"title": gig.title, "reason": event.reason}
        await tell(unit, event, "employer", facts, person=gig.employer_id)


# --- alerts and notices ----------------------------------------------------------------------------------------------


@react.to(AccountErased)
async def forget(event: AccountErased, unit: Unit) -> None:
    await erase(unit, PERSONAL, event.account_id)


@react.to(WorkerCheckedIn, needs=lambda event: [(Presence, event.presence_id), (PersonKey, event.worker_id)])
async def remember_presence(event: WorkerCheckedIn, unit: Unit) -> None:
    """Whoever comes near an alert that lasts is told of it, as those were who had been there before."""
    if await erased(unit, event.worker_id):
        return
    lat, lon = h3.cell_to_latlng(event.cell)
    presence = await unit.get(Presence, event.presence_id)
    where = {"type": "Point", "coordinates": [lon, lat]}
    version = presence.version if presence else 0
    unit.save(
        Presence(id=event.presence_id, worker_id=event.worker_id, where=where, until=event.until, version=version)
    )
    for alert in await alerts_on(unit):
        if event.until > unit.now and near(alert, event.cell):
            await tell_of_alert(unit, alert, event.worker_id)


@react.to(WorkerCheckedOut, needs=lambda event: [(Presence, event.presence_id)])
async def forget_presence(event: WorkerCheckedOut, unit: Unit) -> None:
    if presence := await unit.get(Presence, event.presence_id):
        unit.delete(presence)


@react.at("alert")
async def spread(timer: Timer, unit: Unit) -> None:
    await spread_alert(unit, timer)


@react.at("alert-withdrawal")
async def spread_withdrawn(timer: Timer, unit: Unit) -> None:
    await spread_withdrawal(unit, timer)


@react.at("notice")
async def spread_to_group(timer: Timer, unit: Unit) -> None:
    await spread_notice(unit, timer)


@react.to(ArticlePublished)
async def tell_of_article(event: ArticlePublished, unit: Unit) -> None:
    announce_article(unit, event)


@react.at("article")
async def spread_to_groups(timer: Timer, unit: Unit) -> None:
    await spread_article(unit, timer)


# --- after a restore -------------------------------------------------------------------------------------------------


@react.remembering(DeliveryMade)
async def remember_delivery(event: DeliveryMade, unit: Unit) -> None:
    """What reached a person's phone before the restore does not go out again."""
    await _ended(unit, event.delivery_id, "made")


@react.remembering(DeliveryFailed)
async def remember_failure(event: DeliveryFailed, unit: Unit) -> None:
    await _ended(unit, event.delivery_id, "failed")


async def _ended(unit: Unit, id: str, state: Literal["made", "failed"]) -> None:
    delivery = await unit.get(Delivery, id)
    if delivery and delivery.state == "waiting":
        delivery.state = state
        unit.save(delivery)
