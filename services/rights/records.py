"""Records of work over HTTP: a worker takes one along; whoever is shown it has the keys, and may ask its status."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.rights import attendance, document, record
from services.rights.store import RecordedShift, Timesheet, WorkRecord, records_of, worked_in
from shared import clock
from shared.auth import Anyone, Worker
from shared.credential import Checked, check, holders_key, signed
from shared.http import BODY_BYTES, InUnit, UnitRoute, language_of
from shared.problems import Conflict, Invalid, Missing, Text
from shared.signing import published_with_times
from shared.store import Store
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

unkept = APIRouter(max_body_size=BODY_BYTES)
"""What changes nothing, and is a POST for the size of what is sent: it needs no unit, and no answer of it is kept."""

RECORD = Text("record", "工作经历凭证")
NOTHING = Text("There is no work in this period to record.", "该期间没有可记录的工作。")
BACKWARD = Text("must not be before first_day", "不得早于 first_day")
TOO_MANY = Text("is a period of more than {most} shifts: choose a shorter one", "期间超过 {most} 个班次，请缩短期间")
NOT_OURS = Text("is not a record of this market: {why}", "不是本市场签发的凭证：{why}")

MOST_SHIFTS = 1_000

Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]


class RecordForm(BaseModel):
    """What the record shall hold: whole local days, and of what else is known only what is named in `include`.

    `holder`, a did:key of the worker's own, stands in it in place of the account's id: who can sign with that key is
    its worker, and two such records do not show that they are of one person.
    """

    model_config = ConfigDict(extra="forbid")

    first_day: Day
    last_day: Day
    include: frozenset[record.Part] = frozenset()
    holder: Annotated[str, StringConstraints(max_length=200), AfterValidator(holders_key)] | None = None


class RecordView(BaseModel):
    """What is remembered of a record that was given out. `sha256` is of the UTF-8 bytes of its text."""

    record_id: str
    sha256: str
    shifts: int
    issued_at: datetime
    valid_until: datetime

    @classmethod
    def of(cls, given: WorkRecord) -> "RecordView":
        facts = given.model_dump(include={"sha256", "issued_at", "valid_until"})
        return RecordView(record_id=given.id, shifts=len(given.shifts), **facts)


class IssuedView(RecordView):
    """`record` is the file (application/vc+jwt). It is given out this once and not kept."""

    record: str


class RecordPage(BaseModel):
    items: list[RecordView]
    next: str | None


class StatusView(BaseModel):
    """`revoked`: minutes in it were settled otherwise since; a new record says how."""

    record_id: str
    status: Literal["valid", "revoked", "expired"]
    revoked_at: datetime | None


class RecordText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    record: Annotated[str, Field(min_length=1)]


@routes.post("/records", status_code=201)
async def issue_record(form: RecordForm, worker: Worker, unit: InUnit, request: Request) -> IssuedView:
    """A signed record of the caller's work in a period: a W3C Verifiable Credential 2.0 as a JWT, free of charge.

    `kuaizhao record verify FILE` checks it with the keys of `/api/rights/.well-known/jwks.json`, without a network.
    409 `nothing-to-record`; 422 when the period has too many shifts.
    """
    if form.last_day < form.first_day:
        raise Invalid("last_day", BACKWARD)
    begin, end = (_midnight(day) for day in (form.first_day, form.last_day + timedelta(days=1)))
    sheets = await worked_in(unit, worker.id, begin, end, MOST_SHIFTS + 1)
    if not sheets:
        raise Conflict("nothing-to-record", NOTHING)
    if len(sheets) > MOST_SHIFTS:
        raise Invalid("last_day", TOO_MANY, most=MOST_SHIFTS)
    id = clock.new_id()
    said = await record.credential(
        unit,
        id,
        worker.id,
        sheets,
        form.include,
        days=(form.first_day.isoformat(), form.last_day.isoformat()),
        issuer=request.app.state.runtime.settings.issuer,
        subject=form.holder,
    )
    text = signed(said, await record.SIGNING.key(unit, request.app.state.sealer))
    given = WorkRecord(
        id=id,
        worker_id=worker.id,
        sha256=record.sha256(text),
        issued_at=datetime.fromisoformat(said["validFrom"]),
        valid_until=datetime.fromisoformat(said["validUntil"]),
        shifts=[RecordedShift(placement_id=sheet.id, minutes=sheet.counted) for sheet in sheets],
    )
    unit.save(given)
    return IssuedView(record=text, **RecordView.of(given).model_dump())


@routes.get("/records")
async def list_records(
    worker: Worker,
    unit: InUnit,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=200, description="the `next` of the page before")] = None,
) -> RecordPage:
    """What was given out to the caller, newest first: hashes and times, for the records themselves are not kept."""
    found = await records_of(unit, worker.id, limit=limit, after=after)
    last = found[-1].id if len(found) == limit else None
    return RecordPage(items=[RecordView.of(given) for given in found], next=last)


@routes.get("/records/{record_id}/status")
async def record_status(record_id: str, unit: InUnit) -> StatusView:
    """Whether a record still says what is so. Public, and says nothing of whose it is; no check needs to ask it."""
    given = await unit.get(WorkRecord, record_id)
    if given is None:
        raise Missing(RECORD)
    revoked_at = await _revoked_at(unit, given)
    status: Literal["valid", "revoked", "expired"] = "valid"
    if revoked_at:
        status = "revoked"
    elif unit.now >= given.valid_until:
        status = "expired"
    return StatusView(record_id=given.id, status=status, revoked_at=revoked_at)


async def _revoked_at(unit: Unit, given: WorkRecord) -> datetime | None:
    """Since when minutes of a record are not those that count; None while all are.

    Asked of the timesheets, so that no settlement is missed that came while the record was made.
    """
    await unit.load(Timesheet, [shift.placement_id for shift in given.shifts])
    since = []
    for shift in given.shifts:
        sheet = await unit.get(Timesheet, shift.placement_id)
        if sheet and sheet.settled_at and sheet.counted != shift.minutes:
            since.append(sheet.settled_at)
    return min(since, default=None)


@unkept.post("/records/document", response_class=Response, responses=document.FORMATS)
async def record_document(
    body: RecordText,
    _: Anyone,
    request: Request,
    format: document.Format = "html",
    lang: Annotated[document.Language | None, Query(description="what `Accept-Language` prefers if left out")] = None,
) -> Response:
    """A record as people read it, to print or keep, made of the signed text. One that is good no more says so.

    422 when the text is not as this market signed it.
    """
    store: Store = request.app.state.store
    unit, text = store.reading(), body.record.strip()
    checked = check(text, await published_with_times(unit), unit.now)
    accepted: document.Language = "en" if language_of(request) == "en" else "zh"
    if checked.credential is None:
        raise Invalid("record", NOT_OURS, why=_words(checked, accepted))
    language = lang or accepted
    faults = _words(checked, language)
    paper = record.paper(text, checked.credential, faults=faults, language=language, zone=attendance.zone())
    return await document.answer(paper, format, "record")


def _words(checked: Checked, language: document.Language) -> str:
    return "; ".join(found.text.say(language, found.facts) for found in checked.faults)


@routes.get("/.well-known/jwks.json")
async def record_keys(unit: InUnit) -> JSONResponse:
    """The public keys that records are signed with (RFC 7517), all that ever were; `nbf` and `exp`: when each signs."""
    return JSONResponse(await published_with_times(unit), headers={"cache-control": "public, max-age=3600"})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, attendance.zone())
