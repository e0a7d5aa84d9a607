"""matching over HTTP: a worker's offers and their answers, placements of both sides, and the public board."""

import asyncio
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import h3
from fastapi import BackgroundTasks, Depends, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.matching import deals, shortlist, store, why
from services.matching.domain import ExcuseState, PlacementStatus
from services.matching.store import Commitments, Gig, Offer, Placement, Profile
from shared.auth import Caller, Clerk, Employer, Worker, any_of
from shared.contracts.matching import Reason
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Code, District, Fen, Hazard, Instant, Occupation, Pay, Period, Place
from shared.districts import GivenDistrict, all_of_today
from shared.http import InUnit, Routes, language_of
from shared.problems import Conflict, Invalid, Missing, Text
from shared.rulebook import add_routes
from shared.unit import Unit

routes = Routes("matching")

OFFER = Text("offer", "邀约")
PLACEMENT = Text("placement", "录用记录")
GIG = Text("gig", "岗位")
NO_CURSOR = Text("must be the `next` of the page before", "应为上一页返回的 next")

NOT_REGISTERED = Text("Register under your real name first.", "请先实名登记。")

BOARD_SECONDS = 1.0
CELL_RESOLUTION = 9

Party = Annotated[Caller, Depends(any_of("worker", "employer"))]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=80)]


# --- offers ----------------------------------------------------------------------------------------------------------


class OfferView(BaseModel):
    """A gig offered to the caller. `reasons` hold a code and its figure; `weights` names the rules that made it.

    `arrive_by` where the shift has begun and a substitute is looked for.
    """

    offer_id: str
    gig_id: str
    district: District
    state: Literal["open", "accepted", "declined", "expired"]
    reason: str | None
    terms: GigTerms
    reasons: list[Reason]
    weights: str
    made_at: Instant
    expires_at: Instant
    arrive_by: Instant | None
    placement_id: str | None

    @classmethod
    def of(cls, offer: Offer, now: datetime) -> "OfferView":
        over = offer.open and now >= offer.expires_at
        return cls(
            offer_id=offer.id,
            state="expired" if over else offer.ended or "open",
            reason="time" if over else offer.reason,
            **{name: getattr(offer, name) for name in cls.model_fields if name not in ("offer_id", "state", "reason")},
        )


class OfferPage(BaseModel):
    items: list[OfferView]
    next: str | None


@routes.get("/offers")
async def my_offers(worker: Worker, unit: InUnit, limit: Limit = 20, after: After = None) -> OfferPage:
    """The caller's offers: those in hand first, then the newest."""
    found = await store.offers_to(unit, worker.id, after=_offer_cursor(after), limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return OfferPage(
        items=[OfferView.of(offer, unit.now) for offer in found[:limit]],
        next=f"{'open' if last.open else 'ended'}:{last.id}" if last else None,
    )


class Acceptance(BaseModel):
    """A seat taken; `awaiting-confirmation` until the employer confirms, where the gig asks for that, and `held` until
    enough people for a crew have accepted."""

    placement_id: str
    seat: int
    status: PlacementStatus


@routes.post("/offers/{offer_id}/accept")
async def accept_offer(offer_id: str, worker: Worker, unit: InUnit, after: BackgroundTasks) -> Acceptance:
    """Accept an offer, which places the caller. Accepting again what was accepted answers the same.

    409: `offer-expired`, `offer-ended`, `gig-full`, `gig-closed`, `shift-overlap`, `hours-cap`, `rest`.
    """
    offer = await _own_offer(unit, offer_id, worker)
    placement = await unit.get(Placement, offer.placement_id) if offer.placement_id else None
    if placement is None or not placement.stands:
        placement = await deals.accept(unit, offer)
        _measure(placement, after)
    return Acceptance(placement_id=placement.id, seat=placement.seat, status=placement.status)


@routes.post("/offers/{offer_id}/decline")
async def decline_offer(offer_id: str, worker: Worker, unit: InUnit) -> OfferView:
    """Decline an offer; its gig is not offered to the caller again. Declining again answers the same."""
    await unit.load_each({Offer: [offer_id], Commitments: [worker.id]})
    offer = await _own_offer(unit, offer_id, worker)
    if offer.ended != "declined":
        await deals.decline(unit, offer)
    return OfferView.of(offer, unit.now)


async def _own_offer(unit: Unit, id: str, worker: Caller) -> Offer:
    offer = await unit.get(Offer, id)
    if offer is None or offer.worker_id != worker.id:
        raise Missing(OFFER)
    return offer


class BecauseView(BaseModel):
    """A reason: a stable code, the figures behind it, and a sentence in the caller's language."""

    code: str
    text: str
    facts: dict[str, Any]


class WhyView(BaseModel):
    """Why the caller was or was not offered a gig.

    `at` is the moment that the answer is about, `rules` names those that held; `window` is the record that it was
    answered from, null for how things stand now. `score` is of 10,000.
    """

    gig_id: str
    outcome: why.Outcome
    at: Instant
    rules: str
    window: str | None
    score: int | None
    because: list[BecauseView]


@routes.get("/gigs/{gig_id}/why")
async def why_a_gig(gig_id: str, worker: Worker, request: Request, unit: InUnit) -> WhyView:
    """Why the caller was or was not offered this gig."""
    gig = await unit.get(Gig, gig_id)
    if gig is None:
        raise Missing(GIG)
    zone = ZoneInfo(request.app.state.runtime.settings.zone)
    answer = await why.ask(unit, gig, worker.id, zone)
    language = language_of(request)
    because = [
        BecauseView(code=each.code, text=each.text.say(language, each.facts), facts=each.facts)
        for each in answer.because
    ]
    return WhyView(gig_id=gig_id, **answer._asdict() | {"because": because})


def _offer_cursor(after: str | None) -> tuple[bool, str] | None:
    if after is None:
        return None
    state, _, id = after.partition(":")
    if state not in ("open", "ended") or not id:
        raise Invalid("after", NO_CURSOR)
    return state == "open", id


# --- before anything is offered --------------------------------------------------------------------------------------


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Position(_Asked):
    """WGS 84 degrees; used as its H3 cell of resolution 9, and not kept."""

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class ShortlistForm(_Asked):
    """Where the caller is, and what a gig must have. `start`, `end`: the whole shift lies in this span."""

    districts: Annotated[list[District], Field(min_length=1, max_length=20), AfterValidator(all_of_today)]
    position: Position
    within_m: Annotated[int, Field(ge=1, le=100_000)] | None = None
    start: Instant | None = None
    end: Instant | None = None
    meals: bool = False
    lodging: bool = False
    no_night_work: bool = False
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class ListedView(BaseModel):
    """A gig that would fit, and why it stands where it does: `score` of 10,000, and codes with their figures."""

    gig_id: str
    district: District
    terms: GigTerms
    open_seats: int
    score: int
    reasons: list[Reason]


class Shortlist(BaseModel):
    """The best first. `employers`: how many different ones are in it."""

    employers: int
    items: list[ListedView]


@routes.post("/shortlist")
async def what_fits(form: ShortlistForm, worker: Worker, unit: InUnit) -> Shortlist:
    """Open gigs that the caller could be offered from there, ranked as offers are, by the caller's own profile.

    409 `not-registered`. A POST, since a place in an address would be in logs.
    """
    profile = await unit.get(Profile, worker.id)
    if profile is None:
        raise Conflict("not-registered", NOT_REGISTERED)
    cell = h3.latlng_to_cell(form.position.lat, form.position.lon, CELL_RESOLUTION)
    wishes = shortlist.Wishes(**form.model_dump(include=set(shortlist.Wishes._fields)))
    found = await shortlist.for_worker(unit, profile, form.districts, cell, wishes, limit=form.limit)
    items = [
        ListedView(
            gig_id=each.gig.id,
            district=each.gig.district,
            terms=each.gig.terms,
            open_seats=each.seats,
            score=each.score,
            reasons=[
                Reason(code="distance-m", value=each.distance_m),
                Reason(code="pay-fen-per-hour", value=each.pay_fen),
                Reason(code="fit", value=round(each.fit, 4)),
            ],
        )
        for each in found
    ]
    return Shortlist(employers=len({each.terms.employer_id for each in items}), items=items)


class PlacePreview(Place):
    model_config = ConfigDict(extra="forbid")


class PeriodPreview(Period):
    model_config = ConfigDict(extra="forbid")


class PayPreview(Pay):
    model_config = ConfigDict(extra="forbid")


class PreviewForm(_Asked):
    """What of a gig decides who fits it, as in a post."""

    district: GivenDistrict
    occupation: Occupation
    place: PlacePreview
    period: PeriodPreview
    headcount: Annotated[int, Field(ge=1, le=10_000)] = 1
    pay: PayPreview
    skills: Annotated[tuple[Code, ...], Field(max_length=20)] = ()
    certificates: Annotated[tuple[Code, ...], Field(max_length=20)] = ()
    hazards: Annotated[tuple[Hazard, ...], Field(max_length=20)] = ()
    meals: bool = False
    lodging: bool = False
    night_work: bool = False


class Preview(BaseModel):
    """People in numbers: who waits in the district now, who of them is free, and who could be offered the gig.

    `kept`: how many of the free ones each rule keeps from it, such as `pay`, `reach` or `skills`; one person may be in
    several.
    """

    at: Instant
    waiting: int
    free: int
    fit: int
    kept: dict[str, int]


@routes.post("/preview")
async def who_would_fit(form: PreviewForm, employer: Employer, unit: InUnit) -> Preview:
    """How many of the people who wait now would fit a gig, before it is posted. Numbers only, and nothing is kept."""
    blank = {"employer_name": "", "title": "", "content": "", "valid_until": form.period.start}
    terms = GigTerms(employer_id=employer.id, **blank, **form.model_dump(exclude={"district"}))
    found = await shortlist.for_employer(unit, terms, form.district)
    return Preview(at=unit.now, **found._asdict())


# --- placements ------------------------------------------------------------------------------------------------------


class PlacementView(BaseModel):
    """A worker in a seat of a gig. The employer sees of the worker an id, never why they were chosen.

    `compensation_fen` is what the employer owes for having cancelled late, unless its excuse is accepted. With
    `attend_by` the worker says from `attend_from` until then that they will come, or loses the seat.
    """

    placement_id: str
    gig_id: str
    seat: int
    worker_id: str
    employer_id: str
    district: District
    terms: GigTerms
    status: PlacementStatus
    at: Instant
    confirm_by: Instant | None
    cancelled_by: str | None
    cancelled_at: Instant | None
    cancelled_for: Code | None
    arrive_by: Instant | None
    late: bool
    compensation_fen: Fen
    excuse: Code | None
    excuse_state: ExcuseState | None
    excuse_until: Instant | None
    attend_from: Instant | None
    attend_by: Instant | None
    attending_at: Instant | None

    @classmethod
    def of(cls, placement: Placement) -> "PlacementView":
        fields = {name: getattr(placement, name) for name in cls.model_fields if name != "placement_id"}
        return cls(placement_id=placement.id, **fields)


class PlacementPage(BaseModel):
    items: list[PlacementView]
    next: str | None


@routes.get("/placements")
async def my_placements(party: Party, unit: InUnit, limit: Limit = 20, after: After = None) -> PlacementPage:
    """The caller's placements, the newest first."""
    found = await store.placements_where(unit, _field(party), party.id, after=after, limit=limit + 1)
    return _page(found, limit)


@routes.get("/placements/{placement_id}")
async def one_placement(placement_id: str, party: Party, unit: InUnit) -> PlacementView:
    return PlacementView.of(await _own_placement(unit, placement_id, party))


@routes.get("/gigs/{gig_id}/placements")
async def gig_placements(
    gig_id: str, employer: Employer, unit: InUnit, limit: Limit = 20, after: After = None
) -> PlacementPage:
    """The placements of one of the caller's gigs, the newest first."""
    await _own_gig(unit, gig_id, employer)
    return _page(await store.placements_where(unit, "gig_id", gig_id, after=after, limit=limit + 1), limit)


@routes.post("/gigs/{gig_id}/backfill/end", status_code=204)
async def end_backfill(gig_id: str, employer: Employer, unit: InUnit) -> None:
    """Look no further for somebody in place of those who did not come: what is offered of these seats ends.

    Nothing happens when nobody is looked for. If somebody else does not come either, the search begins anew.
    """
    gig = await _own_gig(unit, gig_id, employer)
    if gig.backfill_until and unit.now < gig.backfill_until:
        gig.backfill_until = unit.now
        unit.save(gig)
        unit.cancel_timer(deals.BACKFILL_END, gig.id)
        await deals.end_backfill(unit, gig)


async def _own_gig(unit: Unit, id: str, employer: Caller) -> Gig:
    gig = await unit.get(Gig, id)
    if gig is None or gig.terms.employer_id != employer.id:
        raise Missing(GIG)
    return gig


class CancellationView(BaseModel):
    """What it would lead to if the caller cancelled now. `in_time_until`: before that, or then, it is not late.

    `excuses` are the reasons that a clerk may accept for a late one.
    """

    placement_id: str
    late: bool
    compensation_fen: Fen
    in_time_until: Instant
    excuses: list[Code]


class Cancellation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    excuse: Code | None = None


@routes.get("/placements/{placement_id}/cancellation")
async def cancellation_cost(placement_id: str, party: Party, unit: InUnit) -> CancellationView:
    """What cancelling now would lead to, before it is done. 409: `placement-ended`, `shift-started`."""
    placement, side = await _own_placement(unit, placement_id, party), _side(party)
    rules = await store.RULES.of(unit, placement.district)
    late, compensation_fen = deals.cost(placement, side, rules, unit.now)
    return CancellationView(
        placement_id=placement.id,
        late=late,
        compensation_fen=compensation_fen,
        in_time_until=placement.begins - rules.cancellation.notice,
        excuses=list(getattr(rules.cancellation.excuses, side)),
    )


@routes.post("/placements/{placement_id}/cancel")
async def cancel_placement(
    placement_id: str, party: Party, unit: InUnit, body: Cancellation | None = None
) -> PlacementView:
    """Cancel a placement before its shift starts; the seat is open again, and the answer says what is owed.

    409: `placement-ended`, `shift-started`; 422 for an excuse that is not on the list.
    """
    placement = await _own_placement(unit, placement_id, party)
    await deals.cancel(unit, placement, _side(party), body.excuse if body else None)
    return PlacementView.of(placement)


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accepted: bool


@routes.get("/excuses")
async def waiting_excuses(clerk: Clerk, unit: InUnit, limit: Limit = 20, after: After = None) -> PlacementPage:
    """Late cancellations of the clerk's districts whose excuse waits for a decision, the oldest first."""
    districts = None if clerk.role == "operator" else clerk.districts
    return _page(await store.excuses_in(unit, districts, after=after, limit=limit + 1), limit)


@routes.post("/placements/{placement_id}/excuse")
async def decide_excuse(placement_id: str, decision: Decision, clerk: Clerk, unit: InUnit) -> PlacementView:
    """Accept the excuse for a late cancellation, which then has no consequence, or do not. 409: `no-excuse-waits`."""
    placement = await unit.get(Placement, placement_id)
    if placement is None or not clerk.covers(placement.district):
        raise Missing(PLACEMENT)
    deals.decide_excuse(unit, placement, accepted=decision.accepted)
    return PlacementView.of(placement)


@routes.post("/placements/{placement_id}/confirm")
async def confirm_placement(
    placement_id: str, employer: Employer, unit: InUnit, after: BackgroundTasks
) -> PlacementView:
    """Confirm who accepted an offer of a gig with `hiring: confirm`, until its `confirm_by`.

    409: `placement-ended`, `not-awaiting`, `confirmation-late`.
    """
    placement = await _own_placement(unit, placement_id, employer)
    await deals.confirm(unit, placement)
    _measure(placement, after)
    return PlacementView.of(placement)


@routes.post("/placements/{placement_id}/attend")
async def confirm_attendance(placement_id: str, worker: Worker, unit: InUnit) -> PlacementView:
    """Say that you will come to a shift of which you were placed long ahead. Saying it again answers the same.

    409: `placement-ended`, `not-asked`, `attendance-early`, `attendance-late`.
    """
    placement = await _own_placement(unit, placement_id, worker)
    deals.attend(unit, placement)
    return PlacementView.of(placement)


async def _own_placement(unit: Unit, id: str, party: Caller) -> Placement:
    placement = await unit.get(Placement, id)
    if placement is None or getattr(placement, _field(party)) != party.id:
        raise Missing(PLACEMENT)
    return placement


def _field(party: Caller) -> str:
    return "worker_id" if party.role == "worker" else "employer_id"


def _side(party: Caller) -> deals.Side:
    return "worker" if party.role == "worker" else "employer"


def _page(found: list[Placement], limit: int) -> PlacementPage:
    items = [PlacementView.of(placement) for placement in found[:limit]]
    return PlacementPage(items=items, next=items[-1].placement_id if len(found) > limit else None)


def _measure(placement: Placement, after: BackgroundTasks) -> None:
    """Count the placement once its answer is out, hence committed."""

    async def measure() -> None:
        deals.measure(placement)

    if placement.status == "placed":
        after.add_task(measure)


# --- the board -------------------------------------------------------------------------------------------------------


class Delays(BaseModel):
    """Times in ms from the later of check-in and post to the first offer, of the last 200; null while there is none."""

    p50: int | None
    p95: int | None
    count: int


class DistrictView(BaseModel):
    """One district now. `placements` are those made today, in the market's own time zone, that stand."""

    district: District
    waiting: int
    open_seats: int
    offers_open: int
    placements: int
    check_in_to_offer_ms: Delays


class BoardView(BaseModel):
    at: Instant
    districts: list[DistrictView]


class Board:
    """The board as it was at most a second ago: many screens, one reckoning."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._reckoning = asyncio.Lock()
        self._shown: BoardView | None = None

    async def show(self, unit: Unit) -> BoardView:
        async with self._reckoning:
            if self._shown is None or abs((unit.now - self._shown.at).total_seconds()) >= BOARD_SECONDS:
                self._shown = await self._reckon(unit)
            return self._shown

    async def _reckon(self, unit: Unit) -> BoardView:
        today = datetime.combine(unit.now.astimezone(self._zone), time(), self._zone).astimezone(UTC)
        districts = [
            DistrictView(
                check_in_to_offer_ms=Delays(p50=figures.p50, p95=figures.p95, count=figures.delays),
                **{name: getattr(figures, name) for name in DistrictView.model_fields if hasattr(figures, name)},
            )
            for figures in await store.board(unit, since=today)
        ]
        return BoardView(at=unit.now, districts=districts)


add_routes(routes, store.RULES)


@routes.get("/board")
async def board(request: Request, unit: InUnit) -> BoardView:
    """Every district's figures, from the database, at most a second old. Public."""
    shown: Board = request.app.state.board
    return await shown.show(unit)
