"""What becomes of a placement's cover: entered, confirmed or refused by the insurer, withdrawn.

pending ─► active ─► withdrawn          pending ─► refused          pending ─► withdrawn
"""

from datetime import datetime
from functools import cache
from typing import Literal

from opentelemetry import propagate

from services.rights import domain
from services.rights.rules import POLICY
from services.rights.store import Cover, Parties
from shared.contracts.matching import PlacementMade
from shared.contracts.rights import CoverConfirmed, CoverRefused
from shared.contracts.terms import Period
from shared.sending import Retry, pause
from shared.settings import Settings
from shared.unit import Unit

TOO_LATE = "too-late"


def enter(unit: Unit, placement: PlacementMade, parties: Parties) -> Cover:
    """Enter a placement for cover, once. With an insurer it waits for its word; else it is active at once.

    A substitute is covered from when they were placed, and not for hours that had passed.
    """
    span, provider = placement.terms.period, POLICY.insurance.provider
    trace: dict[str, str] = {}
    propagate.inject(trace)
    cover = Cover(
        id=placement.placement_id,
        parties=parties,
        provider=provider,
        policy_id=None if has_insurer() else domain.cover_reference(provider, placement.placement_id),
        period=Period(start=max(span.start, placement.at), end=span.end),
        occupation=placement.terms.occupation,
        status="pending" if has_insurer() else "active",
        trace=trace,
    )
    if has_insurer():
        _ask(unit, cover, "enrol")
    unit.save(cover)
    return cover


def withdraw(unit: Unit, cover: Cover, at: datetime) -> None:
    """Cover ends at `at`. The insurer hears of it if it may have the placement in its books."""
    cover.withdrawn_at = at
    if cover.status == "active" and cover.attempts:
        _ask(unit, cover, "withdraw")
    elif cover.status == "pending" and not cover.attempts:
        _asked(cover)
    cover.status = "withdrawn"
    unit.save(cover)


def confirm(unit: Unit, cover: Cover, policy_id: str) -> None:
    """The insurer covers it. When it is of no more use by now, that is the next thing to tell."""
    cover.policy_id = policy_id
    _asked(cover)
    if cover.status == "pending":
        cover.status, cover.confirmed_at = "active", unit.now
        unit.publish(
            CoverConfirmed(placement_id=cover.id, policy_id=policy_id, at=unit.now, **cover.parties.model_dump())
        )
    else:
        _ask(unit, cover, "withdraw")
    unit.save(cover)


def refuse(unit: Unit, cover: Cover, code: str) -> None:
    """The insurer will not cover it, and is asked no more."""
    _asked(cover)
    _refused(unit, cover, code)


def expire(unit: Unit, cover: Cover) -> None:
    """The shift is over and the insurer's word did not come. If it has been asked, what it says is still waited for."""
    if not cover.attempts:
        _asked(cover)
    _refused(unit, cover, TOO_LATE)


def _refused(unit: Unit, cover: Cover, code: str) -> None:
    if cover.status == "pending":
        cover.status, cover.refused_for = "refused", code
        unit.publish(CoverRefused(placement_id=cover.id, reason=code, at=unit.now, **cover.parties.model_dump()))
    unit.save(cover)


def remember(unit: Unit, cover: Cover, said: CoverConfirmed | CoverRefused) -> None:
    """After a restore: what the insurer answered stands, and it is not asked once more."""
    if cover.status != "pending":
        return
    _asked(cover)
    cover.attempts = cover.attempts or 1  # of a withdrawal it is to hear
    if isinstance(said, CoverConfirmed):
        cover.status, cover.policy_id, cover.confirmed_at = "active", said.policy_id, said.at
    else:
        cover.status, cover.refused_for = "refused", said.reason
    unit.save(cover)


def end(unit: Unit, cover: Cover, refused_for: str | None = None) -> None:
    """The insurer knows of the withdrawal, or will not hear of it, which is for a person to look at."""
    _asked(cover)
    cover.refused_for = refused_for or cover.refused_for
    unit.save(cover)


def put_off(unit: Unit, cover: Cover, again: Retry) -> None:
    """Ask again after a pause."""
    cover.trouble = again.trouble
    cover.due_at = unit.now + pause(again.trouble, cover.attempts, again.asked_seconds)
    unit.save(cover)


def _ask(unit: Unit, cover: Cover, ask: Literal["enrol", "withdraw"]) -> None:
    cover.ask = ask
    cover.due_at = cover.asked_since = unit.now
    cover.attempts, cover.trouble = 0, None


def _asked(cover: Cover) -> None:
    cover.ask = cover.due_at = cover.asked_since = cover.trouble = None


@cache
def has_insurer() -> bool:
    """Whether KUAIZHAO_INSURER_URL names one. Handlers reach no settings but the environment's."""
    return bool(Settings().insurer_url)
