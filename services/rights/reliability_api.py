"""Points of reliability over HTTP: what costs what, one's own ledger, and appeals against its entries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from services.rights import appeals, attendance, domain, reliability, store
from services.rights.appeals import AppealDecision, AppealForm, AppealView
from services.rights.rules import Rule, Side, Suspension
from services.rights.store import RULES, Entry, EntryAppeal, TakenBack, standing_id
from shared import auth
from shared.audit import audit
from shared.auth import Caller, Clerk
from shared.contracts.terms import District, Instant
from shared.districts import GivenDistrict
from shared.http import InSealer, InUnit, UnitRoute, language_of
from shared.problems import Conflict, Forbidden, Missing, Text
from shared.rules import COUNTRY
from shared.sealed import PersonalSealer
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

Party = Annotated[Caller, Depends(auth.any_of("worker", "employer"))]
Limited = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=200, description="the `next` of the page before")]

ENTRY = Text("entry of the ledger", "积分记录")
OTHER_DISTRICT = Text("This is not of your districts.", "不在您负责的区县。")
NOTHING_TAKEN = Text("Only an entry that took points can be appealed against.", "只有扣分记录可以申诉。")
ALREADY_BACK = Text("These points were given back already.", "该扣分已撤销。")
TOO_LATE = Text("It could be appealed against until {until}.", "申诉期限为 {until}，已过期。")


# --- the rules -------------------------------------------------------------------------------------------------------


class RuleView(BaseModel):
    """What gives (above 0) or takes points of whom, and how that is said."""

    party: Side
    rule: Rule
    points: int
    text: str


class PublishedRules(BaseModel):
    """What holds in a district now; `rules` names it, `how` says how a score is reckoned.

    Points are whole for `half_days` days, then half, and so on. `suspensions` of a side: who loses points and has fewer
    than `below` then may begin nothing new for `days`.
    """

    district: District
    rules: str
    start: int
    least: int
    most: int
    half_days: int
    appeal_days: int
    how: str
    points: list[RuleView]
    suspensions: dict[Side, tuple[Suspension, ...]]


HOW = Text(
    "You begin with {start} points. What you earn raises you to at most {most}, and what is taken is deducted from "
    "that, down to {least}. After {half_days} days a change counts half, after twice as long a quarter, and so on, "
    "rounded towards none. Within {appeal_days} days you may appeal against what was taken.",
    "初始为 {start} 分。加分最高至 {most} 分，扣分从中扣除，最低 {least} 分。每项变动满 {half_days} 天后减半，"
    "再满同样天数减至四分之一，依此类推，取整时向零舍去。扣分后 {appeal_days} 天内可以申诉。",
)
SIDES: tuple[Side, ...] = ("worker", "employer")


@routes.get("/reliability/rules")
async def read_points(request: Request, unit: InUnit, district: Annotated[GivenDistrict, Query()]) -> PublishedRules:
    """What costs what in a district, in the caller's language. Public; GET /rules has the same figures as data."""
    rules = await RULES.of(unit, district)
    figures, language = rules.reliability, language_of(request)
    plain = figures.model_dump(exclude={"worker", "employer"})
    points = [
        RuleView(party=side, rule=rule, points=points, text=reliability.WHAT[rule].say(language, {}))
        for side in SIDES
        for rule, points in figures.of(side).points.items()
    ]
    return PublishedRules(
        district=district,
        rules=rules.name,
        how=HOW.say(language, plain),
        points=points,
        suspensions={side: figures.of(side).suspensions for side in SIDES},
        **plain,
    )


# --- the ledger ------------------------------------------------------------------------------------------------------


class ScoreView(BaseModel):
    """A person's points now, by the rules of the district of their last entry; `suspended_until` if these led to it."""

    party: Side
    party_id: str
    score: int
    at: Instant
    rules: str
    suspended_until: Instant | None


class EntryView(BaseModel):
    """What changed the points, why, and by which rules. `left`: what is left of them now; `score`: with it, then.

    `cause` is the event by which others hear of the fact; `about_id` the placement, or for `no-confirmation` the gig.
    `takes_back_id` names the entry that this one undoes; `taken_back_by` the one that undoes this.
    """

    entry_id: str
    party: Side
    party_id: str
    district: District
    rule: Rule
    rules: str
    text: str
    cause: str
    about_id: str
    points: int
    left: int
    counts_until: Instant
    score: int
    at: Instant
    takes_back_id: str | None
    because: TakenBack | None
    taken_back_by: str | None
    appeal_until: Instant
    appeal: AppealView | None

    @classmethod
    async def of(cls, entry: Entry, unit: Unit, sealer: PersonalSealer, language: str) -> Self:
        back = await unit.get(Entry, reliability.back_id(entry.id))
        appeal = await unit.get(EntryAppeal, entry.id)
        text = reliability.TAKEN_BACK[entry.because] if entry.because else reliability.WHAT[entry.rule]
        settled = back is not None or entry.takes_back_id is not None
        own = {"entry_id", "text", "left", "taken_back_by", "appeal"}
        return cls(
            entry_id=entry.id,
            text=text.say(language, {}),
            left=0 if settled else domain.left(entry.points, entry.half_days, unit.now - entry.at),
            taken_back_by=back.id if back else None,
            appeal=await AppealView.of(appeal.appeal if appeal else None, entry.party_id, sealer),
            **entry.model_dump(include=set(cls.model_fields) - own),
        )


class EntryPage(BaseModel):
    items: list[EntryView]
    next: str | None


@routes.get("/reliability/me")
async def read_own_score(
    caller: Party, unit: InUnit, district: Annotated[GivenDistrict | None, Query()] = None
) -> ScoreView:
    """The caller's points, by the rules of the district of their last entry, or of another."""
    return await _score(unit, _side(caller), caller.id, district)


@routes.get("/reliability/me/entries")
async def read_own_entries(
    *, caller: Party, request: Request, unit: InUnit, sealer: InSealer, limit: Limited = 20, after: After = None
) -> EntryPage:
    """Every change of the caller's points, newest first."""
    found = await store.entries_of(unit, standing_id(_side(caller), caller.id), limit=limit + 1, after=after)
    return await _page(found, limit, request, unit, sealer)


@routes.get("/reliability/{party}/{party_id}")
async def read_score(party: Side, party_id: str, _: Clerk, unit: InUnit) -> ScoreView:
    """A person's points, for clerks. Nobody else sees them, and matching does not know them."""
    return await _score(unit, party, party_id, None)


@routes.get("/reliability/{party}/{party_id}/entries")
async def read_entries(
    *,
    party: Side,
    party_id: str,
    clerk: Clerk,
    request: Request,
    unit: InUnit,
    sealer: InSealer,
    limit: Limited = 20,
    after: After = None,
) -> EntryPage:
    """What changed a person's points in the clerk's districts, newest first."""
    districts = None if clerk.role == "operator" else clerk.districts
    found = await store.entries_of(unit, standing_id(party, party_id), districts, limit=limit + 1, after=after)
    return await _page(found, limit, request, unit, sealer)


def _side(caller: Caller) -> Side:
    return "worker" if caller.role == "worker" else "employer"


async def _score(unit: Unit, party: Side, party_id: str, district: str | None) -> ScoreView:
    id = standing_id(party, party_id)
    last = await store.entries_of(unit, id, limit=1, after=None)
    rules = await RULES.of(unit, district or (last[0].district if last else COUNTRY))
    counted = await store.counting(unit, id, rules.reliability)
    return ScoreView(
        party=party,
        party_id=party_id,
        score=domain.score(counted, rules.reliability, unit.now),
        at=unit.now,
        rules=rules.name,
        suspended_until=await reliability.suspended_until(unit, id),
    )


async def _page(found: Sequence[Entry], limit: int, request: Request, unit: Unit, sealer: PersonalSealer) -> EntryPage:
    """A page of the entries that were asked for with one more than its limit."""
    shown = found[:limit]
    await unit.load(Entry, [reliability.back_id(entry.id) for entry in shown])
    await unit.load(EntryAppeal, [entry.id for entry in shown])
    await sealer.load(entry.party_id for entry in shown)
    items = [await EntryView.of(entry, unit, sealer, language_of(request)) for entry in shown]
    return EntryPage(items=items, next=shown[-1].order if len(found) > limit else None)


# --- appeals ---------------------------------------------------------------------------------------------------------


@routes.post("/reliability/entries/{entry_id}/appeal")
async def appeal(
    entry_id: str, form: AppealForm, caller: Party, request: Request, unit: InUnit, sealer: InSealer
) -> EntryView:
    """Say why points should not have been taken, until `appeal_until`; anew until a clerk has decided, which is once.

    409 `nothing-taken`, `already-taken-back`, `appeal-late`, `appeal-decided`.
    """
    entry = await unit.get(Entry, entry_id)
    if entry is None or (entry.party, entry.party_id) != (_side(caller), caller.id):
        raise Missing(ENTRY)
    if entry.sort != "taken":
        raise Conflict("nothing-taken", NOTHING_TAKEN)
    known = await unit.get(EntryAppeal, entry_id)
    appeals.may_appeal(known.appeal if known else None)
    if await unit.get(Entry, reliability.back_id(entry_id)):
        raise Conflict("already-taken-back", ALREADY_BACK)
    if unit.now >= entry.appeal_until:
        raise Conflict("appeal-late", TOO_LATE, until=_local(entry.appeal_until))
    made = await appeals.make(form, caller.id, sealer, unit.now)
    known = known or EntryAppeal(id=entry_id, party_id=caller.id, district=entry.district, appeal=made)
    known.appeal = made
    unit.save(known)
    return await EntryView.of(entry, unit, sealer, language_of(request))


@routes.get("/reliability/appeals")
async def list_appeals(
    *, clerk: Clerk, request: Request, unit: InUnit, sealer: InSealer, limit: Limited = 20, after: After = None
) -> EntryPage:
    """Entries of the clerk's districts whose appeal waits for a decision, by their id."""
    districts = None if clerk.role == "operator" else clerk.districts
    waiting = await store.entry_appeals(unit, districts, limit=limit + 1, after=after)
    ids = [each.id for each in waiting[:limit]]
    await unit.load(Entry, [*ids, *map(reliability.back_id, ids)])
    entries = [entry for id in ids if (entry := await unit.get(Entry, id))]
    items = [await EntryView.of(entry, unit, sealer, language_of(request)) for entry in entries]
    return EntryPage(items=items, next=ids[-1] if len(waiting) > limit else None)


@routes.post("/reliability/entries/{entry_id}/appeal/decision")
async def decide_appeal(
    entry_id: str, decision: AppealDecision, clerk: Clerk, request: Request, unit: InUnit, sealer: InSealer
) -> EntryView:
    """A clerk of the district decides, with a reason; recorded. One that is upheld is undone by a new entry.

    409 `no-appeal`, `appeal-decided`.
    """
    entry = await unit.get(Entry, entry_id)
    if entry is None:
        raise Missing(ENTRY)
    if not clerk.covers(entry.district):
        raise Forbidden(OTHER_DISTRICT)
    known = await unit.get(EntryAppeal, entry_id)
    appeals.decide(known.appeal if known else None, decision, by=clerk.id, now=unit.now)
    if known:
        unit.save(known)
    if decision.upheld:
        await reliability.take_back(unit, entry_id, "appeal")
    await audit(unit, clerk.id, "points appeal decided", entry_id=entry_id, upheld=decision.upheld)
    return await EntryView.of(entry, unit, sealer, language_of(request))


def _local(moment: datetime) -> str:
    return moment.astimezone(attendance.zone()).isoformat(timespec="minutes")
