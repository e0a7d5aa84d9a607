"""A person has their account erased, over HTTP: proven by a new phone code, refused while something binds them.

Identity forgets what it holds and says so in one unit; every other service forgets when it hears (`AccountErased`).
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from services.identity.api import ACCOUNT, WRONG_CODE, InParts, Parts, code_is_right
from services.identity.grants import SixDigits
from services.identity.personal import end
from services.identity.store import Account, Quota, bonds_of
from shared.auth import Caller, any_of
from shared.contracts.terms import Instant
from shared.http import InUnit, UnitRoute
from shared.problems import Conflict, Missing, Problem, Text
from shared.sealed import ERASED, erased
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

unkept = APIRouter(max_body_size=64 * 1024)
"""It runs a unit of its own: a code that was tried in vain is to be counted, not undone."""

BOUND = Text("The account cannot be erased while these are open: {ties}.", "以下事项尚未了结，暂不能注销账户：{ties}。")

Person = Annotated[Caller, Depends(any_of("worker", "employer"))]
Bond = Literal["placement", "pay", "case", "sanction"]


class TieView(BaseModel):
    """What keeps an account from being erased: its kind and id. `until`: a placement's or a sanction's end."""

    kind: Bond
    id: str
    until: Instant | None


class Ties(BaseModel):
    items: list[TieView]
    next: None = None


class ErasureForm(BaseModel):
    """The code that was sent to the account's phone just now (`POST /api/identity/codes`)."""

    model_config = ConfigDict(extra="forbid")

    code: SixDigits


class Erased(BaseModel):
    """Each service says of itself, to everybody, that it erased this id: `GET /api/<service>/erasures/{account_id}`."""

    account_id: str
    erased_at: Instant


@routes.get("/me/ties")
async def my_ties(person: Person, unit: InUnit) -> Ties:
    """What keeps the caller's account from being erased now."""
    return Ties(
        items=[TieView(kind=tie.kind, id=tie.subject, until=tie.until) for tie in await bonds_of(unit, person.id)]
    )


@unkept.post("/me/erasure")
async def erase_account(form: ErasureForm, person: Person, parts: InParts) -> Erased:
    """Erase the caller's account in every service, for good. All sign-ins end; the phone may register anew.

    400 `invalid-grant` for a wrong code; 409 `account-bound` names what is open: placements, pay, cases, sanctions.
    What the law has kept stays under the id alone, and is deleted when its time is over.
    """

    async def work(unit: Unit) -> Erased | None:
        return await _erase(unit, person, form.code, parts)

    done = await parts.store.transact(work)
    if done is None:
        raise Problem(400, "invalid-grant", WRONG_CODE)
    return done


async def _erase(unit: Unit, person: Caller, code: str, parts: Parts) -> Erased | None:
    """None for a wrong code, which counts."""
    if await erased(unit, person.id):
        raise Problem(401, "account-erased", ERASED)
    account = await unit.get(Account, person.id)
    if account is None or account.phone is None:
        raise Missing(ACCOUNT)
    if bound := await bonds_of(unit, person.id):
        raise Conflict("account-bound", BOUND, ties=", ".join(f"{tie.kind} {tie.subject}" for tie in bound))
    phone = await parts.people(unit).open(account.phone, of=account.id, field="phone")
    if not await code_is_right(unit, parts, phone, code):
        return None
    if quota := await unit.get(Quota, f"codes:{parts.sealer.blind(phone, field='phone')}"):
        unit.delete(quota)
    await end(unit, account)
    return Erased(account_id=account.id, erased_at=unit.now)


routes.include_router(unkept)
