"""Who may read whose phone over HTTP: the other side of a placement for a while, a clerk with a reason, nobody else.

A phone is read by a command, since reading it leaves an entry in the access log (`Reading`) in the same unit: there is
none without the other.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.identity.api import ACCOUNT, NO_STORE, InParts, Parts
from services.identity.domain import masked
from services.identity.store import RULES, Account, Reading, Tie, readings, ties_of
from shared import auth
from shared.auth import Anyone, Caller, Operator, Role
from shared.clock import new_id
from shared.contracts.terms import Instant
from shared.http import InUnit, UnitRoute
from shared.problems import Conflict, Forbidden, Invalid, Missing, Problem, Text
from shared.rules import COUNTRY
from shared.sealed import ERASED, PersonalSealer, erased
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

unkept = APIRouter(max_body_size=64 * 1024)
"""Its answers hold a phone, and are not kept for a repeated key: they would be a copy that no erasure finds."""

REASON_NEEDED = Text("is required of a clerk", "工作人员必须填写原因")
NO_REASON = Text("is for clerks; leave it out", "仅供工作人员填写")
NOT_OF_CASE = Text("must be a case of this person, of a district of yours", "应为该人员在您负责区县的案件")
OTHER_DISTRICT = Text(
    "This person has no placement, pay or case in your districts.", "该人员在您负责的区县没有用工、报酬或案件记录。"
)
NOT_NOW = Text(
    "The phone can be read from the placement until {days} days after its shift, not any more.",
    "仅自录用起至班次结束后 {days} 天内可查看电话，现已不可查看。",
)

Reader = Annotated[Caller, Depends(auth.any_of("worker", "employer", "clerk", "operator"))]


class ContactView(BaseModel):
    """A phone with its middle hidden (+86199****1234), and until when the caller may read it whole; null: not now."""

    account_id: str
    phone: str
    readable_until: Instant | None


class ReadingForm(BaseModel):
    """A clerk says why, and for which case if it is for one. The person concerned can read it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=500)] | None = None
    case_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class PhoneView(BaseModel):
    account_id: str
    phone: str
    reading_id: str


class ReadingView(BaseModel):
    """Who read what of whom, why and when. `ref`: the placement or case it was for; `reason`: a clerk's words."""

    reading_id: str
    person_id: str
    by_id: str
    by_role: Role
    field: Literal["phone"]
    why: Literal["placement", "case", "clerk"]
    ref: str | None
    reason: str | None
    at: Instant


class ReadingPage(BaseModel):
    items: list[ReadingView]
    next: str | None


@routes.get("/contacts/{account_id}")
async def read_contact(account_id: str, caller: Anyone, parts: InParts, unit: InUnit) -> ContactView:
    """The masked phone of the other side of a placement of the caller's, be it over; 404 without one."""
    pairs = await _placements(unit, caller, account_id)
    if not pairs:
        raise Missing(ACCOUNT)
    phone = await _phone(unit, parts, account_id)
    found = await _readable(unit, pairs)
    return ContactView(account_id=account_id, phone=masked(phone), readable_until=found[1] if found else None)


@unkept.post("/contacts/{account_id}/readings", status_code=201)
async def read_phone(
    account_id: str, reader: Reader, parts: InParts, response: Response, form: ReadingForm | None = None
) -> PhoneView:
    """A phone, whole; the reading is entered in the access log, where the person sees it.

    For the other side from the placement until some days after its shift (`contact_days` of the rules): 409
    `contact-closed` before or after, 404 without a placement. For clerks of a district where the person has a
    placement, pay or a case, with a reason: 403 elsewhere.
    """
    asked = form or ReadingForm()

    async def read(unit: Unit) -> PhoneView:
        if await erased(unit, reader.id):
            raise Problem(401, "account-erased", ERASED)
        if reader.role in ("clerk", "operator"):
            entry = await _for_clerk(unit, parts, reader, account_id, asked)
        else:
            entry = await _for_party(unit, reader, account_id, asked)
        phone = await _phone(unit, parts, account_id)
        unit.save(entry)
        return PhoneView(account_id=account_id, phone=phone, reading_id=entry.id)

    response.headers.update(NO_STORE)
    return await parts.store.transact(read)


async def _for_party(unit: Unit, reader: Caller, person_id: str, asked: ReadingForm) -> Reading:
    for name in ("reason", "case_id"):
        if getattr(asked, name) is not None:
            raise Invalid(name, NO_REASON)
    pairs = await _placements(unit, reader, person_id)
    if not pairs:
        raise Missing(ACCOUNT)
    found = await _readable(unit, pairs)
    if found is None:
        rules = await RULES.of(unit, pairs[0].district)
        raise Conflict("contact-closed", NOT_NOW, days=rules.contact_days)
    tie, _ = found
    return await _entry(unit, reader, person_id, tie.district, why="placement", ref=tie.subject)


async def _for_clerk(unit: Unit, parts: Parts, clerk: Caller, person_id: str, asked: ReadingForm) -> Reading:
    if asked.reason is None:
        raise Invalid("reason", REASON_NEEDED)
    covered = [tie for tie in await ties_of(unit, person_id) if clerk.covers(tie.district)]
    if not covered and clerk.role != "operator":
        raise Forbidden(OTHER_DISTRICT)
    if asked.case_id and not any(tie.kind == "case" and tie.subject == asked.case_id for tie in covered):
        raise Invalid("case_id", NOT_OF_CASE)
    reason = await parts.people(unit).seal(asked.reason, of=person_id, field="reason")
    district = covered[0].district if covered else COUNTRY
    why: Literal["case", "clerk"] = "case" if asked.case_id else "clerk"
    return await _entry(unit, clerk, person_id, district, why=why, ref=asked.case_id, reason=reason)


async def _entry(
    unit: Unit,
    reader: Caller,
    person_id: str,
    district: str,
    *,
    why: Literal["placement", "case", "clerk"],
    ref: str | None,
    reason: bytes | None = None,
) -> Reading:
    """The log's entry, not saved yet; kept as long as the district's rules say."""
    rules = await RULES.of(unit, district)
    return Reading(
        id=new_id(),
        person_id=person_id,
        by_id=reader.id,
        by_role=reader.role,
        why=why,
        ref=ref,
        reason=reason,
        at=unit.now,
        forget_at=unit.now + rules.readings,
    )


async def _placements(unit: Unit, caller: Caller, other_id: str) -> list[Tie]:
    """The placements between the caller and somebody else, cancelled ones too."""
    if caller.role not in ("worker", "employer") or caller.id == other_id:
        return []
    return [tie for tie in await ties_of(unit, caller.id, other_id) if tie.kind == "placement"]


async def _readable(unit: Unit, pairs: list[Tie]) -> tuple[Tie, datetime] | None:
    """The placement by which a phone may be read the longest from now on, and until when."""
    windows = [(tie, tie.readable_until(await RULES.of(unit, tie.district))) for tie in pairs]
    open_ = [(tie, until) for tie, until in windows if until and unit.now < until]
    return max(open_, key=lambda window: window[1], default=None)


async def _phone(unit: Unit, parts: Parts, account_id: str) -> str:
    account = await unit.get(Account, account_id)
    if account is None or account.phone is None:
        raise Missing(ACCOUNT)
    return await parts.people(unit).open(account.phone, of=account.id, field="phone")


# --- the access log --------------------------------------------------------------------------------------------------

Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=64, description="the `next` of the page before")]


@routes.get("/me/readings")
async def my_readings(
    caller: Anyone, parts: InParts, unit: InUnit, limit: Limit = 20, after: After = None
) -> ReadingPage:
    """Who read the caller's phone, newest first (PIPL, art. 44: the right to know)."""
    found = await readings(unit, {"person_id": caller.id}, after=after, limit=limit + 1)
    return await _page(found, limit, parts.people(unit))


@routes.get("/readings")
async def audit_readings(
    *,
    operator: Operator,
    parts: InParts,
    unit: InUnit,
    person_id: Annotated[str | None, Query(max_length=64)] = None,
    by_id: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 20,
    after: After = None,
) -> ReadingPage:
    """The access log for an audit: of one person, by one reader, or whole; newest first."""
    query = {name: value for name, value in (("person_id", person_id), ("by_id", by_id)) if value}
    return await _page(await readings(unit, query, after=after, limit=limit + 1), limit, parts.people(unit))


async def _page(found: list[Reading], limit: int, people: PersonalSealer) -> ReadingPage:
    await people.load(entry.person_id for entry in found)
    items = []
    for entry in found[:limit]:
        reason = await people.opened(entry.reason, of=entry.person_id, field="reason")
        items.append(ReadingView(reading_id=entry.id, reason=reason, **entry.model_dump(exclude={"id", "reason"})))
    return ReadingPage(items=items, next=items[-1].reading_id if len(found) > limit else None)


routes.include_router(unkept)
