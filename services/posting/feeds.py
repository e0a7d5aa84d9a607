"""Posts by the file, over HTTP; and the agencies that may send posts for employers who let them."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.posting import intake, rows, store
from services.posting.forms import text_of
from services.posting.rows import Row
from services.posting.store import Agency, Employer
from shared import auth
from shared.contracts.posting import FeedOutcome
from shared.http import InUnit, UnitRoute, language_of, read_body
from shared.problems import Forbidden, Missing, Problem, Text
from shared.rules import COUNTRY
from shared.store import Store
from shared.unit import Unit

routes = APIRouter(route_class=UnitRoute)

by_rows = APIRouter()
"""A file is no unit: its rows are, a few together, so that a file that was cut off is sent again whole."""

ROWS_TOGETHER = 25
"""Rows of one unit. One that is refused has done nothing in it."""

CSV, JSON_LINES = "text/csv", "application/x-ndjson"
READERS = {CSV: rows.read_csv, JSON_LINES: rows.read_lines}

OTHER_TYPE = Text("Send text/csv or application/x-ndjson.", "请以 text/csv 或 application/x-ndjson 格式发送。")
TOO_MANY = Text(
    "A file may have at most {most} rows; this one has {rows}. Send it in parts.",
    "一个文件最多 {most} 行，本文件有 {rows} 行，请分批发送。",
)
AGENCY = Text("registered agency", "已登记的机构")
FIRST_REGISTER = Text("Register your business first.", "请先登记企业信息。")

# --- files ----------------------------------------------------------------------------------------------------------


class RowReport(BaseModel):
    """What became of one row: `problem` as a single post would have had it, when it was refused."""

    row: int
    origin_id: str | None
    outcome: FeedOutcome
    gig_id: str | None = None
    review_id: str | None = None
    problem: dict[str, Any] | None = None


class Report(BaseModel):
    """What became of a file: how many rows by outcome, and each row."""

    outcomes: dict[FeedOutcome, int]
    rows: list[RowReport]


Sender = Annotated[auth.Caller, Depends(auth.any_of("employer", "agency"))]

_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            CSV: {"schema": {"type": "string"}, "example": rows.TEMPLATE},
            JSON_LINES: {"schema": {"type": "string"}},
        },
    }
}


@by_rows.post("/gigs/bulk", openapi_extra=_FILE)
async def post_file(request: Request, caller: Sender) -> Report:
    """Post, amend and withdraw many gigs by a file: CSV by the template, or JSON lines. Each row stands for itself.

    A row's `origin_id` makes it one gig of its sender: the same row again changes nothing, a changed one amends its
    gig, `withdrawn` closes it. So a file whose answer was lost is sent again. An agency names each row's employer by
    `credit_code`, which must have let it post. 403 `agency-not-registered`; 413 for too many rows or bytes; 415; 422
    when it is no text or its headings are not known.
    """
    read = READERS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
    if read is None:
        raise Problem(415, "other-type", OTHER_TYPE)
    db: Store = request.app.state.store
    found = list(read(await read_body(request), ZoneInfo(request.app.state.runtime.settings.zone)))
    most = (await store.RULES.of(db.reading(), COUNTRY)).max_file_rows
    if len(found) > most:
        raise Problem(413, "too-many-rows", TOO_MANY, most=most, rows=len(found))
    reports: list[RowReport] = []
    for start in range(0, len(found), ROWS_TOGETHER):
        reports += await _take_together(db, caller, found[start : start + ROWS_TOGETHER], language_of(request))
    return Report(outcomes=Counter(report.outcome for report in reports), rows=reports)


async def _take_together(db: Store, caller: auth.Caller, few: Sequence[Row], language: str) -> list[RowReport]:
    async def work(unit: Unit) -> list[RowReport]:
        agency = await intake.registered(unit, caller.id) if caller.role == "agency" else None
        return [await _take(unit, caller.id, agency, row, language) for row in few]

    return await db.transact(work)


async def _take(unit: Unit, feed: str, agency: Agency | None, row: Row, language: str) -> RowReport:
    origin_id = row.sent.get("origin_id")
    known = {"row": row.number, "origin_id": origin_id if isinstance(origin_id, str) else None}
    try:
        taken = await intake.take(unit, feed, agency, row.sent, row.faults)
    except Problem as problem:
        return RowReport(**known, outcome="refused", problem=problem.body(language))
    return RowReport(**known, **taken._asdict())


@routes.get("/gigs/bulk/template")
async def template(format: Literal["csv"] = "csv") -> Response:
    """A file's headings in both languages, for a spreadsheet. Public."""
    headers = {"content-disposition": 'attachment; filename="gigs.csv"'}
    return Response(rows.TEMPLATE.encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


# --- agencies -------------------------------------------------------------------------------------------------------


class AgencyForm(BaseModel):
    """An agency as it is entered, under the account that it signs in with; `districts` may be prefixes such as 4301."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, text_of(2, 100)]
    districts: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]([0-9]{2}){0,2}$")]],
        Field(min_length=1, max_length=50),
    ]


class AgencyView(BaseModel):
    agency_id: str
    name: str
    districts: list[str]

    @classmethod
    def of(cls, agency: Agency) -> "AgencyView":
        return cls(agency_id=agency.id, name=agency.name, districts=list(agency.districts))


@routes.put("/agencies/{agency_id}")
async def enter_agency(agency_id: str, form: AgencyForm, operator: auth.Operator, unit: InUnit) -> AgencyView:
    """Let an agency post, in its districts, for employers who let it. `agency_id`: its account at identity."""
    agency = await unit.get(Agency, agency_id) or Agency(id=agency_id, name=form.name, districts=())
    agency.name, agency.districts = form.name, tuple(form.districts)
    unit.save(agency)
    return AgencyView.of(agency)


@routes.delete("/agencies/{agency_id}", status_code=204)
async def end_agency(agency_id: str, operator: auth.Operator, unit: InUnit) -> None:
    """Let an agency post no more. What it posted stays."""
    agency = await unit.get(Agency, agency_id)
    if agency is not None:
        unit.delete(agency)


@routes.get("/agencies")
async def agencies(caller: auth.Anyone, unit: InUnit) -> list[AgencyView]:
    """The agencies that may post for employers who let them."""
    return [AgencyView.of(agency) for agency in await store.agencies(unit)]


@routes.put("/employers/me/agencies/{agency_id}")
async def let_post(agency_id: str, caller: auth.Employer, unit: InUnit) -> list[str]:
    """Let an agency post in the caller's name; answers the ids of all that may."""
    employer = await _registered(unit, caller)
    if await unit.get(Agency, agency_id) is None:
        raise Missing(AGENCY)
    if agency_id not in employer.agencies:
        employer.agencies = (*employer.agencies, agency_id)
        unit.save(employer)
    return list(employer.agencies)


@routes.delete("/employers/me/agencies/{agency_id}")
async def no_longer_let_post(agency_id: str, caller: auth.Employer, unit: InUnit) -> list[str]:
    """Let an agency post in the caller's name no more. What it posted stays, and is the caller's to close."""
    employer = await _registered(unit, caller)
    employer.agencies = tuple(each for each in employer.agencies if each != agency_id)
    unit.save(employer)
    return list(employer.agencies)


async def _registered(unit: Unit, caller: auth.Caller) -> Employer:
    employer = await unit.get(Employer, caller.id)
    if employer is None:
        raise Forbidden(FIRST_REGISTER, code="employer-not-registered")
    return employer


routes.include_router(by_rows)
