"""How employers and gigs go from one state to the next, and what is said when they do."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from services.posting.domain import CloseReason
from services.posting.rules import Policy
from services.posting.store import Employer, Gig, Placement, gigs_not_closed
from shared import clock
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
)
from shared.problems import Conflict, Missing, Text
from shared.unit import Unit

GIG_EXPIRY = "gig-expiry"
VERIFICATION_END = "verification-end"
VERIFICATION_WARNING = "verification-warning"

GIG = Text("gig", "零工岗位")
CLOSED = Text("The gig is closed; it can no longer be changed.", "该岗位已关闭，不能再修改。")
FULL = Text("Every seat of the gig is taken; it can no longer be changed.", "该岗位已招满，不能再修改。")
STARTED = Text("The shift has begun; its gig can no longer be changed.", "班次已经开始，岗位不能再修改。")
BELOW_PLACED = Text(
    "{placed} workers are already placed; the headcount cannot be lower.",
    "已有 {placed} 人录用，招聘人数不能低于该数。",
)

# --- employers -----------------------------------------------------------------------------------------------------


def submit(unit: Unit, employer: Employer, details: Mapping[str, str]) -> None:
    """Take the details that a clerk checks. New ones wait for a clerk, and so do those whose check failed or ended."""
    changed = {name: value for name, value in details.items() if getattr(employer, name) != value}
    for name, value in changed.items():
        setattr(employer, name, value)
    if changed:
        employer.revision += 1
    if changed or employer.status != "verified":
        employer.status, employer.reason, employer.verified_until = "pending", None, None
        employer.warn_at = None
        unit.cancel_timer(VERIFICATION_END, employer.id)
        unit.cancel_timer(VERIFICATION_WARNING, employer.id)
    unit.save(employer)


def verify(unit: Unit, employer: Employer, policy: Policy) -> None:
    """A clerk approved: the employer may post until the next check is due."""
    until = unit.now + timedelta(days=policy.verification_days)
    employer.status, employer.reason, employer.verified_until = "verified", None, until
    unit.save(employer)
    unit.set_timer(VERIFICATION_END, employer.id, until)
    _set_warning(unit, employer, until, policy)
    unit.publish(EmployerVerified(employer_id=employer.id, district=employer.district, verified_until=until))


def warn(unit: Unit, employer: Employer, policy: Policy) -> None:
    """Say that the verification ends soon, and be back for the next warning. Nothing when it is too late to warn."""
    until = employer.checked_until(unit.now)
    if until is not None:
        unit.publish(
            EmployerVerificationEnding(
                employer_id=employer.id,
                district=employer.district,
                verified_until=until,
                days_left=math.ceil((until - unit.now) / timedelta(days=1)),
            )
        )
        _set_warning(unit, employer, until, policy)


def _set_warning(unit: Unit, employer: Employer, until: datetime, policy: Policy) -> None:
    """The next of the policy's warnings that is still to come; one that was set for an earlier end is none."""
    ahead = [until - timedelta(days=days) for days in policy.verification_warning_days]
    employer.warn_at = min((moment for moment in ahead if moment > unit.now), default=None)
    unit.save(employer)
    if employer.warn_at:
        unit.set_timer(VERIFICATION_WARNING, employer.id, employer.warn_at)
    else:
        unit.cancel_timer(VERIFICATION_WARNING, employer.id)


async def suspend(
    unit: Unit, employer: Employer, status: Literal["rejected", "lapsed"], reason: str | None = None
) -> None:
    """The employer may not post from now on, and its gigs are closed. A clerk's own words stay with us."""
    employer.status, employer.reason, employer.verified_until = status, reason, None
    employer.warn_at = None
    unit.save(employer)
    unit.cancel_timer(VERIFICATION_END, employer.id)
    unit.cancel_timer(VERIFICATION_WARNING, employer.id)
    for gig in await gigs_not_closed(unit, employer.id):
        close(unit, gig, "suspended")
    code = "verification-refused" if status == "rejected" else "verification-ended"
    unit.publish(EmployerSuspended(employer_id=employer.id, district=employer.district, reason=code))


async def leave(unit: Unit, employer_id: str) -> None:
    """The employer's account is erased: its gigs end, and nothing is timed for it any more."""
    for gig in await gigs_not_closed(unit, employer_id):
        close(unit, gig, "employer")
    unit.cancel_timer(VERIFICATION_END, employer_id)
    unit.cancel_timer(VERIFICATION_WARNING, employer_id)


# --- gigs ----------------------------------------------------------------------------------------------------------


def post(
    unit: Unit,
    employer: Employer,
    district: str,
    terms: GigTerms,
    *,
    gig_id: str | None = None,
    origin: str | None = None,
) -> Gig:
    """Open a gig until its validity ends, under an id of its own or the one its review has had."""
    gig = Gig(id=gig_id or clock.new_id(), district=district, terms=terms, posted_at=unit.now, origin=origin)
    unit.save(gig)
    unit.save(employer)  # so that a suspension decided at the same moment collides with it, and sees the gig
    unit.set_timer(GIG_EXPIRY, gig.id, terms.valid_until)
    unit.publish(GigPosted(gig_id=gig.id, district=district, terms=terms, origin=origin))
    return gig


def may_amend(unit: Unit, gig: Gig) -> None:
    """Raises `Conflict` when the gig is not open any more or its shift has begun."""
    if gig.status == "closed" or gig.expired(unit.now):
        raise Conflict("gig-closed", CLOSED)
    if gig.status == "filled":
        raise Conflict("gig-full", FULL)
    if unit.now >= gig.terms.period.start:
        raise Conflict("gig-started", STARTED)


def amend(unit: Unit, gig: Gig, terms: GigTerms) -> None:
    """Give a gig new terms. Raises `Conflict` when fewer seats are wanted than are placed."""
    if terms.headcount < gig.placed:
        raise Conflict("headcount-below-placed", BELOW_PLACED, placed=gig.placed)
    gig.change(terms, unit.now)
    gig.revision += 1
    unit.save(gig)
    unit.set_timer(GIG_EXPIRY, gig.id, terms.valid_until)
    unit.publish(GigAmended(gig_id=gig.id, district=gig.district, terms=terms, origin=gig.origin))
    _fill_or_reopen(unit, gig)


def close(unit: Unit, gig: Gig, reason: CloseReason) -> None:
    """End a gig; nothing happens when it has ended. Whatever closes it after its validity, it expired."""
    if gig.status == "closed":
        return
    gig.status, gig.closed_reason = "closed", "expired" if gig.expired(unit.now) else reason
    unit.save(gig)
    unit.cancel_timer(GIG_EXPIRY, gig.id)
    unit.publish(GigClosed(gig_id=gig.id, district=gig.district, reason=gig.closed_reason))


async def count_placement(unit: Unit, gig_id: str, placement_id: str, *, stands: bool) -> None:
    """Count a placement that was made (`stands`) or cancelled: the same for every order and number of deliveries.

    Raises `Missing` when there is no such gig.
    """
    gig = await unit.get(Gig, gig_id)
    if gig is None:
        raise Missing(GIG)
    known = await unit.get(Placement, placement_id)
    if known is not None and (stands or not known.stands):
        return  # told before, or cancelled before we heard that it was made
    placement = known or Placement(id=placement_id, gig_id=gig_id, stands=stands)
    placement.stands = stands
    unit.save(placement)
    if stands:
        gig.placed += 1
    elif known is not None:
        gig.placed -= 1
    unit.save(gig)
    _fill_or_reopen(unit, gig)


async def recount(unit: Unit, gig: Gig) -> None:
    """Set a gig's count to the placements that stand, and say what follows from it."""
    gig.placed = await unit.count(Placement, {"gig_id": gig.id, "stands": True})
    unit.save(gig)
    _fill_or_reopen(unit, gig)


def _fill_or_reopen(unit: Unit, gig: Gig) -> None:
    full = gig.placed >= gig.terms.headcount
    if full and gig.status == "open":
        gig.status = "filled"
        employer = gig.terms.employer_id
        unit.publish(GigFilled(gig_id=gig.id, district=gig.district, placed=gig.placed, employer_id=employer))
    elif not full and gig.status == "filled" and not gig.expired(unit.now):
        gig.status = "open"
        unit.publish(GigReopened(gig_id=gig.id, district=gig.district, placed=gig.placed))
