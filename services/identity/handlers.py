"""Events in: what binds people to the market, so that a phone is shown to the other side alone and nobody leaves owing.

Topics are read side by side and events come again, so what ends something is noted also before its beginning is heard.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Literal

from services.identity.personal import UNUSED, end
from services.identity.store import RULES, Account, Tie, bonds_of
from shared.contracts import Event
from shared.contracts.identity import AccountErased
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.rights import (
    CaseClosed,
    CaseOpened,
    PayConfirmed,
    PayCorrected,
    PayDue,
    SanctionLifted,
    SanctionSet,
)
from shared.reactions import Reactions
from shared.sealed import PersonKey, erased
from shared.unit import Document, Timer, Unit

react = Reactions()

LOOK_AGAIN = timedelta(days=30)

KEPT_AFTER = timedelta(days=30)
"""What is over is kept for longer than an event of it can come again (`shared.store.INBOX_DAYS`)."""

Kind = Literal["placement", "pay", "case", "sanction"]


def ties(*kinds: Kind) -> Callable[[Event], Iterable[tuple[type[Document], str]]]:
    """The ties that an event is about, and whether those whom they bind were erased."""

    def of(event: Event) -> Iterable[tuple[type[Document], str]]:
        yield from ((Tie, f"{kind}:{event.subject}") for kind in kinds)
        people = (getattr(event, name, None) for name in ("worker_id", "employer_id", "party_id"))
        yield from ((PersonKey, person) for person in people if person)

    return of


async def _tie(unit: Unit, kind: Kind, event: Event, district: str, *people: str | None) -> Tie:
    """The tie that an event is about, known or new; it is saved as the handler leaves it."""
    id = f"{kind}:{event.subject}"
    bound = [person for person in people if person and not await erased(unit, person)]
    tie = await unit.get(Tie, id) or Tie(id=id, kind=kind, subject=event.subject, people=bound, district=district)
    if tie.version or bound:
        unit.save(tie)
    return tie


def _end(tie: Tie, unit: Unit) -> None:
    tie.over = True
    tie.forget_at = max(tie.forget_at or unit.now, unit.now + KEPT_AFTER)


# --- placements and their pay ----------------------------------------------------------------------------------------


@react.to(PlacementMade, needs=ties("placement"))
async def bind(event: PlacementMade, unit: Unit) -> None:
    """From here on each side may read the other's phone."""
    rules = await RULES.of(unit, event.district)
    tie = await _tie(unit, "placement", event, event.district, event.worker_id, event.employer_id)
    tie.until = event.terms.period.end
    tie.forget_at = max(unit.now, tie.until + max(rules.contact, rules.settling)) + KEPT_AFTER


@react.to(PlacementCancelled, needs=ties("placement"))
async def unbind(event: PlacementCancelled, unit: Unit) -> None:
    tie = await _tie(unit, "placement", event, event.district, event.worker_id, event.employer_id)
    tie.cancelled = True
    _end(tie, unit)


@react.to(PayDue, needs=ties("pay"))
async def owe(event: PayDue, unit: Unit) -> None:
    await _tie(unit, "pay", event, event.district, event.worker_id, event.employer_id)


@react.to(PayCorrected, needs=ties("pay", "placement"))
async def correct(event: PayCorrected, unit: Unit) -> None:
    """Nothing to be paid is as good as paid."""
    if not event.amount_fen:
        await _settle(event, unit)


@react.to(PayConfirmed, needs=ties("pay", "placement"))
async def settle(event: PayConfirmed, unit: Unit) -> None:
    await _settle(event, unit)


async def _settle(event: PayCorrected | PayConfirmed, unit: Unit) -> None:
    for kind in ("pay", "placement"):
        _end(await _tie(unit, kind, event, event.district, event.worker_id, event.employer_id), unit)


# --- cases and sanctions ---------------------------------------------------------------------------------------------


@react.to(CaseOpened, needs=ties("case"))
async def follow_case(event: CaseOpened, unit: Unit) -> None:
    await _tie(unit, "case", event, event.district, event.worker_id, event.employer_id)


@react.to(CaseClosed, needs=ties("case"))
async def end_case(event: CaseClosed, unit: Unit) -> None:
    _end(await _tie(unit, "case", event, event.district, event.worker_id, event.employer_id), unit)


@react.to(SanctionSet, needs=ties("sanction"))
async def follow_sanction(event: SanctionSet, unit: Unit) -> None:
    """Who is under a sanction does not get rid of it by beginning anew."""
    tie = await _tie(unit, "sanction", event, event.district, event.party_id)
    tie.until = event.until


@react.to(SanctionLifted, needs=ties("sanction"))
async def end_sanction(event: SanctionLifted, unit: Unit) -> None:
    _end(await _tie(unit, "sanction", event, event.district, event.party_id), unit)


# --- times -----------------------------------------------------------------------------------------------------------


@react.at(UNUSED)
async def end_unused(timer: Timer, unit: Unit) -> None:
    """Nobody signed in for as long as the rules keep an account: it ends, once nothing binds it."""
    account = await unit.get(Account, timer.subject)
    if account is None:
        return
    if await bonds_of(unit, account.id):
        unit.set_timer(UNUSED, account.id, unit.now + LOOK_AGAIN)
    else:
        await end(unit, account)


# --- after a restore -------------------------------------------------------------------------------------------------


@react.remembering(AccountErased)
async def erase_again(event: AccountErased, unit: Unit) -> None:
    """Who was erased after the backup is erased once more, whatever keys came back with it."""
    account = await unit.get(Account, event.account_id)
    if account and not await erased(unit, account.id):
        await end(unit, account)
