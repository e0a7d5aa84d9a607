"""A placement gets its agreement and its cover; a cancelled one loses them; what time brings to shifts and pay."""

from collections.abc import Iterable

from services.rights import attendance, cases, covers, domain, hours, ratings, reliability, sanctions
from services.rights.personal import PERSONAL
from services.rights.reliability import Party
from services.rights.rules import Rule, Side
from services.rights.store import (
    RULES,
    Ability,
    Agreement,
    Cancellation,
    Case,
    Cover,
    Entry,
    Parties,
    Payment,
    Ratings,
    Sanction,
    Shift,
    Standing,
    Timesheet,
    standing_id,
)
from shared.contracts.identity import AccountErased
from shared.contracts.matching import ConfirmationLapsed, ExcuseDecided, PlacementCancelled, PlacementMade
from shared.contracts.rights import AgreementMade, CoverConfirmed, CoverRefused, PayOverdue, ShiftMissed
from shared.contracts.workers import WorkerChanged, WorkerRegistered
from shared.personal import erase, forget_kept
from shared.reactions import Reactions
from shared.rules import COUNTRY
from shared.sealed import PersonKey, erased
from shared.unit import Document, Timer, Unit

react = Reactions()

RECORDS_END = "records-end"


def _placement(event: PlacementMade | PlacementCancelled | ExcuseDecided) -> Iterable[tuple[type[Document], str]]:
    return [(kind, event.placement_id) for kind in (Agreement, Cover, Shift, Cancellation)]


def _parties(event: PlacementMade | PlacementCancelled) -> Parties:
    return Parties.model_validate(event.model_dump(include=set(Parties.model_fields)))


@react.to(PlacementMade, needs=_placement)
async def protect(event: PlacementMade, unit: Unit) -> None:
    """Fix the terms under a hash and enter the placement for cover, in one unit, once.

    A placement that is known to be cancelled already gets both too, void and withdrawn from the start.
    """
    placement, span = event.placement_id, event.terms.period
    if await unit.get(Agreement, placement):
        return
    parties = _parties(event)
    text = domain.agreement_text(event)
    agreement = Agreement(id=placement, parties=parties, text=text, sha256=domain.sha256(text), made_at=unit.now)
    cover = covers.enter(unit, event, parties)
    rules = await RULES.of(unit, event.district)
    shift = Shift(
        id=placement,
        parties=parties,
        period=span,
        pay=event.terms.pay,
        arrive_by=event.arrive_by,
        no_show_minutes=rules.no_show_minutes,
        timesheet_hours=rules.timesheet_hours,
        reminder_hours=rules.timesheet_reminder_hours,
    )
    for document in (agreement, shift):
        unit.save(document)
    cancelled = await unit.get(Cancellation, placement)
    if cancelled:
        await _void(unit, cancelled, agreement, cover, shift)
        return
    attendance.expect(unit, shift)
    unit.publish(
        AgreementMade(
            placement_id=placement,
            sha256=agreement.sha256,
            policy_id=domain.cover_reference(cover.provider, placement),
            starts_at=event.arrive_by or span.start,
            cover="pending" if cover.status == "pending" else "active",
            **parties.model_dump(),
        )
    )


def _cancelled(event: PlacementCancelled) -> Iterable[tuple[type[Document], str]]:
    yield from _placement(event)
    if charge := _charge(event):
        yield Entry, reliability.entry_id(*charge, event.placement_id)
        yield Standing, standing_id(charge[0], event.worker_id if charge[0] == "worker" else event.employer_id)


def _charge(event: PlacementCancelled) -> tuple[Side, Rule] | None:
    """Whom a cancellation costs points, and by which rule."""
    if event.late and event.by != "market":
        return event.by, "late-cancellation"
    return ("worker", "unattended") if event.reason == "unattended" else None


@react.to(PlacementCancelled, needs=_cancelled)
async def void(event: PlacementCancelled, unit: Unit) -> None:
    """Void the agreement and withdraw the cover from now on. What has been worked stays, and stays owed."""
    placement = event.placement_id
    if charge := _charge(event):
        side, rule = charge
        await reliability.note(unit, Party.of(side, _parties(event)), rule, placement, PlacementCancelled)
    agreement = await unit.get(Agreement, placement)
    cover = await unit.get(Cover, placement)
    shift = await unit.get(Shift, placement)
    if agreement and cover and shift:
        if not agreement.void_at and not (shift.status == "ended" and shift.minutes):
            await _void(unit, _cancellation(event), agreement, cover, shift)
    elif not await unit.get(Cancellation, placement):
        unit.save(_cancellation(event))


@react.to(ExcuseDecided, needs=_placement)
async def settle_excuse(event: ExcuseDecided, unit: Unit) -> None:
    """An excuse that was accepted gives the points back. An employer's that was not owes what it would without one."""
    if event.accepted:
        entry = reliability.entry_id(event.by, "late-cancellation", event.placement_id)
        await reliability.take_back(unit, entry, "excuse")
    shift, cancelled = await unit.get(Shift, event.placement_id), await unit.get(Cancellation, event.placement_id)
    if shift is None and cancelled:
        cancelled.compensation_fen = event.compensation_fen
        unit.save(cancelled)
    elif shift and not await unit.get(Payment, event.placement_id):
        attendance.compensate(unit, shift, event.compensation_fen)


@react.to(ConfirmationLapsed, needs=lambda event: [(Standing, standing_id("employer", event.employer_id))])
async def note_no_confirmation(event: ConfirmationLapsed, unit: Unit) -> None:
    """Once for a gig, however many waited."""
    employer = Party("employer", event.employer_id, event.district)
    await reliability.note(unit, employer, "no-confirmation", event.gig_id, ConfirmationLapsed)


def _cancellation(event: PlacementCancelled) -> Cancellation:
    return Cancellation(id=event.placement_id, at=event.at, by=event.by, compensation_fen=event.compensation_fen)


async def _void(unit: Unit, cancelled: Cancellation, agreement: Agreement, cover: Cover, shift: Shift) -> None:
    agreement.void_at, agreement.void_by = cancelled.at, cancelled.by
    covers.withdraw(unit, cover, cancelled.at)
    unit.cancel_timer(attendance.NO_SHOW, shift.id)
    if shift.status == "started":
        attendance.end(unit, shift, cancelled.at, automatic=True, compensation_fen=cancelled.compensation_fen)
    elif shift.status == "planned":
        shift.status = "cancelled"
        attendance.compensate(unit, shift, cancelled.compensation_fen)
    elif not await unit.get(Payment, shift.id):  # it ended before it began, or was missed: no work
        attendance.compensate(unit, shift, cancelled.compensation_fen)
    for document in (agreement, shift):
        unit.save(document)


def _ability(event: WorkerRegistered | WorkerChanged) -> Iterable[tuple[type[Document], str]]:
    return [(Ability, event.worker_id), (PersonKey, event.worker_id)]


@react.to(WorkerRegistered, needs=_ability)
async def remember_worker(event: WorkerRegistered, unit: Unit) -> None:
    await _remember(event, unit)


@react.to(WorkerChanged, needs=_ability)
async def remember_changed_worker(event: WorkerChanged, unit: Unit) -> None:
    await _remember(event, unit)


async def _remember(event: WorkerRegistered | WorkerChanged, unit: Unit) -> None:
    """Skills and certificates for a worker's record; the newest revision stays, in whatever order they come."""
    if await erased(unit, event.worker_id):
        return
    known, profile = await unit.get(Ability, event.worker_id), event.profile
    if known and known.revision >= profile.revision:
        return
    known = known or Ability(id=event.worker_id, skills=(), certificates=(), revision=0)
    known.skills, known.certificates, known.revision = profile.skills, profile.certificates, profile.revision
    unit.save(known)


@react.to(AccountErased)
async def forget(event: AccountErased, unit: Unit) -> None:
    """What a claim may rest on stays for its time, under an id that leads to nobody; words that people wrote do not."""
    await erase(unit, PERSONAL, event.account_id)
    if event.role == "worker":
        rules = await RULES.of(unit, COUNTRY)
        unit.set_timer(RECORDS_END, event.account_id, unit.now + rules.records)


@react.at(RECORDS_END)
async def forget_records(timer: Timer, unit: Unit) -> None:
    """The time of what was kept of an erased worker is over. An employer's records are its workers' as well."""
    await forget_kept(unit, PERSONAL, timer.subject)


@react.at(attendance.SHIFT_END)
async def end_open_shift(timer: Timer, unit: Unit) -> None:
    """Nobody ended it: it ended when it was planned to."""
    shift = await unit.get(Shift, timer.subject)
    if shift and shift.status == "started":
        attendance.end(unit, shift, shift.period.end, automatic=True)


@react.at(attendance.NO_SHOW)
async def miss_shift(timer: Timer, unit: Unit) -> None:
    """A start and this both change the shift's one document, so that only one of them happens.

    It costs points of who could have started: whose cover stood when they were expected.
    """
    shift = await unit.get(Shift, timer.subject)
    if shift and shift.status == "planned" and attendance.miss(unit, shift, timer.due_at):
        cover = await unit.get(Cover, shift.id)
        if cover and cover.stood(shift.arrive_by or shift.period.start):
            await reliability.note(unit, Party.of("worker", shift.parties), "no-show", shift.id, ShiftMissed)


@react.at(attendance.TIMESHEET)
async def approve_unanswered(timer: Timer, unit: Unit) -> None:
    """The employer did not answer in time. An answer and this both change the one timesheet: the first counts."""
    sheet = await unit.get(Timesheet, timer.subject)
    if sheet and sheet.status == "open":
        await hours.approve(unit, sheet, by="deadline", at=timer.due_at)


@react.at(attendance.TIMESHEET_REMINDER)
async def remind_of_timesheet(timer: Timer, unit: Unit) -> None:
    sheet = await unit.get(Timesheet, timer.subject)
    if sheet is not None:
        hours.remind(unit, sheet)


@react.at(hours.DISPUTE)
async def escalate_dispute(timer: Timer, unit: Unit) -> None:
    sheet = await unit.get(Timesheet, timer.subject)
    if sheet is not None:
        hours.escalate(unit, sheet)


@react.at(hours.DISPUTE_END)
async def end_dispute(timer: Timer, unit: Unit) -> None:
    """Somebody who settles it now and this both change the one timesheet: the first counts."""
    sheet = await unit.get(Timesheet, timer.subject)
    if sheet is not None:
        await hours.lapse(unit, sheet)


@react.at(ratings.RATINGS_CLOSE)
async def close_ratings(timer: Timer, unit: Unit) -> None:
    """One side has rated in time and the other has not: what there is is seen now."""
    rated = await unit.get(Ratings, timer.subject)
    if rated and not rated.published_at:
        ratings.publish(unit, rated)


@react.at(attendance.PAY_OVERDUE)
async def call_overdue(timer: Timer, unit: Unit) -> None:
    """The due time has come, and the worker has not confirmed that the pay arrived."""
    pay = await unit.get(Payment, timer.subject)
    if pay is None or pay.confirmed_at or pay.overdue:
        return
    pay.overdue = True
    unit.save(pay)
    cases.watch(unit, pay)
    unit.publish(
        PayOverdue(
            placement_id=pay.id,
            amount_fen=pay.amount_fen,
            due_at=pay.due_at,
            **pay.parties.model_dump(exclude={"gig_id"}),
        )
    )
    await cases.call_late(unit, pay)


@react.at(cases.PAY_ARREARS)
async def open_arrears(timer: Timer, unit: Unit) -> None:
    """The worker has waited for overdue pay as long as the rule lets an employer take."""
    pay = await unit.get(Payment, timer.subject)
    if pay is not None:
        await cases.call_arrears(unit, pay)


@react.at(cases.CASE_LIMIT)
async def escalate_case(timer: Timer, unit: Unit) -> None:
    case = await unit.get(Case, timer.data["case_id"])
    if case is not None:
        cases.escalate(unit, case, timer.data["limit"])


@react.at(sanctions.SANCTION_END)
async def end_sanction(timer: Timer, unit: Unit) -> None:
    sanction = await unit.get(Sanction, timer.subject)
    if sanction is not None:
        sanctions.lift(unit, sanction, "expired")


# --- after a restore -------------------------------------------------------------------------------------------------


@react.remembering(CoverConfirmed)
async def remember_cover(event: CoverConfirmed, unit: Unit) -> None:
    cover = await unit.get(Cover, event.placement_id)
    if cover is not None:
        covers.remember(unit, cover, event)


@react.remembering(CoverRefused)
async def remember_refusal(event: CoverRefused, unit: Unit) -> None:
    cover = await unit.get(Cover, event.placement_id)
    if cover is not None:
        covers.remember(unit, cover, event)
