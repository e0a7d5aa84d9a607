"""HTTP in: registration, the worker's own profile, check-ins; by the worker or with a clerk's help."""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from services.workers.domain import (
    ADULT_AGE,
    MOST_DISTRICTS,
    TOO_YOUNG,
    WORKING_AGE,
    Certificate,
    IdNumber,
    begins,
    birthday,
    born_on,
    cell_of,
    local_day,
    masked,
    metres,
    old_enough,
    tier_by_other_rules,
    tier_of,
    waits_until,
)
from services.workers.market import CHECK_IN_ENDS, end, say_changed, say_gone, say_waiting, watch
from services.workers.store import (
    Agreed,
    AppealState,
    Ban,
    BanAppeal,
    Block,
    KeptBan,
    Presence,
    Worker,
    appeals_in,
    blocks_by,
    worker_with,
)
from services.workers.tables import CONSENT, STATIONS, TIERS
from shared.audit import audit
from shared.auth import Caller, Clerk, any_of
from shared.auth import Worker as WorkerCaller
from shared.clock import new_id
from shared.contracts.terms import Code, District, Fen, Instant, Trade
from shared.contracts.workers import (
    Calendar,
    DateSpans,
    PairBlocked,
    PairUnblocked,
    Span,
    Tier,
    WeekdaySpan,
    WorkerProfile,
    WorkerRegistered,
)
from shared.districts import GivenDistrict, all_of_today
from shared.http import InUnit, Routes, language_of
from shared.problems import Conflict, Forbidden, Invalid, Missing, Text
from shared.rulebook import add_routes
from shared.sanctions import Refusal, must_be_free_of, sanctions_of
from shared.sealed import PersonalSealer
from shared.unit import Unit, at_once
from shared.wording import Said

routes = Routes("workers")

WorkerOrClerk = Annotated[Caller, Depends(any_of("worker", "clerk", "operator"))]

OTHERS = Text("You can only do this for yourself.", "只能为本人办理。")
WHOSE = Text("is required when a clerk does this", "由工作人员代办时为必填项")
OTHER_DISTRICT = Text("You do not work for district {district}.", "您不负责 {district} 区域。")
TAKEN = Text(
    "This identity number is registered under another account. Sign in with the phone number of that time, or ask at "
    "the counter.",
    "该身份证号已在另一账户下登记。请用当时的手机号登录，或到柜台办理。",
)
SOMEONE_ELSE = Text(
    "This account is registered under another identity number. Ask at the counter to have it put right.",
    "本账户已用另一身份证号登记，如需更正请到柜台办理。",
)
NOT_REGISTERED = Text("Register under your real name first.", "请先实名登记。")
NOT_NOW_VALID = Text("must not be past: {certificate} ended on {until}", "证书已过期：{certificate} 有效期至 {until}")
ONE_PLACE = Text("give either a position or a station_id", "position 与 station_id 应且只应提供一个")
WHOLE_POINT = Text("is required: a point has `lat` and `lon`", "为必填项：位置须同时给出 lat 与 lon")
NO_STATION = Text("must be a station of GET /stations", "应为 GET /stations 中的站点")
REGISTRATION = Text("registration", "登记信息")
CERTIFICATE = Text("certificate", "证书")
CHECK_IN = Text("check-in", "签到")
NOT_PAST = Text("must be later than now", "应晚于当前时间")
BANNED = Text(
    "You may not wait for work until {until} ({reason}): {note} You can appeal in the app or at any counter.",
    "您被暂停签到候工，截止 {until}（{reason}）：{note} 如有异议可在线或到任一柜台申诉。",
)
SANCTIONED = Refusal(
    "worker-sanctioned",
    Text(
        "You may not wait for work until {until} by sanction {sanction_id}. You may appeal: "
        "POST /api/rights/sanctions/{sanction_id}/appeal.",
        "因处理措施 {sanction_id}，{until} 前不能签到候工。可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
    ),
    Text(
        "You may not wait for work by sanction {sanction_id} until it is lifted. You may appeal: "
        "POST /api/rights/sanctions/{sanction_id}/appeal.",
        "处理措施 {sanction_id} 解除前不能签到候工。可以申诉：POST /api/rights/sanctions/{sanction_id}/appeal。",
    ),
)
BAN = Text("ban", "暂停候工决定")
APPEAL_DECIDED = Text("Your appeal has been decided: {state}. {reason}", "您的申诉已有结果：{state}。{reason}")
SAME_CLERK = Text(
    "You set this ban; the appeal against it is for somebody else to decide.",
    "该决定由您作出，申诉须由其他工作人员审核。",
)
NO_APPEAL_WAITS = Text("No appeal waits for a decision here.", "此处没有待审核的申诉。")
PLACEMENTS_STAY = Text(
    "Shifts that you have agreed on with them stay; cancel them if you do not want them.",
    "已确认的班次仍然有效；如不愿履行，请自行取消。",
)

BlockReason = Literal["unpaid", "unsafe", "harassment", "no-show", "quality", "other"]
OtherId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Party = Annotated[Caller, Depends(any_of("worker", "employer"))]


def _name(value: str) -> str:
    if not 2 <= len(value) <= 50 or not all(c.isalpha() or c in "·. '-" for c in value):
        raise Said("must be a name as on the identity card, 2 to 50 letters", "应为身份证上的姓名，2 到 50 个字")
    return value


def _agreed(value: bool) -> bool:
    if not value:
        raise Said("must be true: nothing can be kept without it", "须为 true：未经同意不能保存任何信息")
    return value


def _unlike(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise Said("must not name one twice", "不得重复")
    return values


def _one_of_each(values: list["CertificateDraft"]) -> list["CertificateDraft"]:
    _unlike([value.code for value in values])
    return values


def _with_code(value: Any) -> Any:
    return {"code": value} if isinstance(value, str) else value


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CertificateDraft(_Asked):
    """A certificate, good up to and with the day `valid_until`; for good without one. A bare code says the same."""

    code: Code
    valid_until: Annotated[date, Field(lt=date(2200, 1, 1))] | None = None


Skills = Annotated[list[Code], Field(max_length=30), AfterValidator(_unlike)]
Certificates = Annotated[
    list[Annotated[CertificateDraft, BeforeValidator(_with_code)]], Field(max_length=30), AfterValidator(_one_of_each)
]
Floor = Annotated[Fen, Field(le=100_000)]
Reach = Annotated[int, Field(ge=100, le=100_000)]
Trades = Annotated[list[Trade], Field(max_length=20), AfterValidator(_unlike)]
Hardship = Annotated[list[Code], Field(max_length=10), AfterValidator(_unlike)]


class RegistrationDraft(_Asked):
    """`account_id` is for clerks: the account that POST /api/identity/accounts gave for the person's phone."""

    account_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    name: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_name)]
    id_number: IdNumber
    district: GivenDistrict
    skills: Skills = []
    certificates: Certificates = []
    floor_fen_per_hour: Floor = 0
    reach_m: Reach = 5_000
    hardship: Hardship = []
    accepts_automatically: bool = False
    consent: Annotated[bool, AfterValidator(_agreed)]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


_LEFT_OUT: Any = Field(default=None, json_schema_extra=_without_default)


class ProfileChange(_Asked):
    """What is given changes; what is left out stays. Name and identity number are changed at the counter only."""

    district: GivenDistrict = _LEFT_OUT
    skills: Skills = _LEFT_OUT
    certificates: Certificates = _LEFT_OUT
    floor_fen_per_hour: Floor = _LEFT_OUT
    reach_m: Reach = _LEFT_OUT
    hardship: Hardship = _LEFT_OUT
    accepts_automatically: bool = _LEFT_OUT
    trades_wanted: Trades = _LEFT_OUT
    trades_unwanted: Trades = _LEFT_OUT
    only_with_meals: bool = _LEFT_OUT
    only_with_lodging: bool = _LEFT_OUT
    no_night: bool = _LEFT_OUT


class CertificateCheck(_Asked):
    """What a clerk saw: `approved`, and the last day that stands on the paper, which counts from then on."""

    approved: bool
    valid_until: Annotated[date, Field(lt=date(2200, 1, 1))] | None = None


Clock = Annotated[time, Field(description="Local time, such as 18:00.")]


class HoursDraft(_Asked):
    """From `begin` to `end` by the clock; when `end` is not after `begin`, it is on the day after (00:00: midnight)."""

    begin: Clock
    end: Clock

    def span(self) -> Span:
        start, end = (at.hour * 60 + at.minute for at in (self.begin, self.end))
        return Span(start=start, end=end if end > start else end + 1440)


class WeekdayHours(HoursDraft):
    """Hours of each Monday (1) to Sunday (7)."""

    weekday: Annotated[int, Field(ge=1, le=7)]


class DateHours(_Asked):
    """The hours of one date, in place of its weekday's; none: that day not at all."""

    date: date
    hours: Annotated[list[HoursDraft], Field(max_length=6)] = []


def _each_day_once(values: list[DateHours]) -> list[DateHours]:
    _unlike([value.date for value in values])
    return values


class Availability(_Asked):
    """When the caller may be offered work: the whole of a shift lies within. An empty one means always."""

    weekly: Annotated[list[WeekdayHours], Field(max_length=42)] = []
    dates: Annotated[list[DateHours], Field(max_length=100), AfterValidator(_each_day_once)] = []

    def calendar(self) -> Calendar:
        return Calendar(
            weekly=tuple(
                WeekdaySpan(weekday=each.weekday, **each.span().model_dump())
                for each in sorted(self.weekly, key=lambda each: (each.weekday, each.begin))
            ),
            dates=tuple(
                DateSpans(date=str(each.date), spans=tuple(hours.span() for hours in each.hours))
                for each in sorted(self.dates, key=lambda each: each.date)
            ),
        )

    @classmethod
    def of(cls, calendar: Calendar) -> "Availability":
        return cls(
            weekly=[WeekdayHours(weekday=each.weekday, **_by_the_clock(each)) for each in calendar.weekly],
            dates=[
                DateHours(
                    date=date.fromisoformat(each.date), hours=[HoursDraft(**_by_the_clock(s)) for s in each.spans]
                )
                for each in calendar.dates
            ],
        )


def _by_the_clock(span: Span) -> dict[str, time]:
    return {
        name: time(minutes // 60 % 24, minutes % 60) for name, minutes in (("begin", span.start), ("end", span.end))
    }


class Position(_Asked):
    """WGS 84 degrees. Only its H3 cell of resolution 9 is kept."""

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class CheckInDraft(_Asked):
    """`worker_id` is for clerks. `until` is the end of the local day when it is left out."""

    worker_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    districts: Annotated[
        list[District],
        Field(min_length=1, max_length=MOST_DISTRICTS),
        AfterValidator(_unlike),
        AfterValidator(all_of_today),
    ]
    position: Position | None = None
    station_id: str | None = None
    until: Instant | None = None


class Registered(BaseModel):
    worker_id: str
    district: str
    tier: Tier
    minor: bool


class CertificateView(BaseModel):
    """`checked`: a clerk saw the paper, so that it counts where a gig asks for it."""

    code: str
    valid_until: date | None
    checked: bool


class ConsentView(BaseModel):
    version: str
    at: datetime
    before_clerk: bool


class Conditions(BaseModel):
    """Under which conditions a worker works. Answers to commands show no more: they are kept for repeated keys."""

    worker_id: str
    district: str
    skills: list[str]
    certificates: list[CertificateView]
    floor_fen_per_hour: int
    reach_m: int
    tier: Tier
    minor: bool
    accepts_automatically: bool
    trades_wanted: list[str]
    trades_unwanted: list[str]
    only_with_meals: bool
    only_with_lodging: bool
    no_night: bool


class Profile(Conditions):
    """A worker's own data, the identity number masked."""

    name: str
    id_number: str
    hardship: list[str]
    consent: ConsentView
    registered_at: datetime


class CheckIn(BaseModel):
    checkin_id: str
    districts: list[str]
    station_id: str | None
    at: datetime
    until: datetime


class Ended(BaseModel):
    checkin_id: str


class StationView(BaseModel):
    id: str
    district: str
    zh: str
    en: str
    lat: float
    lon: float
    distance_m: int | None


class StationsAsked(BaseModel):
    """Stations of a district, and around a point: WGS 84 degrees, metres."""

    model_config = ConfigDict(extra="forbid")

    district: GivenDistrict | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    within_m: Annotated[int, Field(ge=1, le=100_000)] | None = None


class Stations(BaseModel):
    items: list[StationView]
    next: None = None


class ConsentText(BaseModel):
    version: str
    text: str


class Choice(BaseModel):
    code: str
    label: str


class Form(BaseModel):
    """What a registration form shows: the text to agree to, and the province's categories of difficulty."""

    consent: ConsentText
    hardship: list[Choice]


class Parts:
    """What the routes need besides their unit."""

    def __init__(self, request: Request) -> None:
        self.people = PersonalSealer(request.app.state.sealer, request.state.unit)
        self.zone = ZoneInfo(request.app.state.runtime.settings.zone)


async def parts_of(request: Request) -> Parts:
    return Parts(request)


InParts = Annotated[Parts, Depends(parts_of)]


def _subject(caller: Caller, named: str | None, field: str) -> str:
    """The worker a request is about: the caller, or whom a clerk names."""
    if caller.role == "worker":
        if named not in (None, caller.id):
            raise Forbidden(OTHERS)
        return caller.id
    if named is None:
        raise Invalid(field, WHOSE)
    return named


def _clerk(caller: Caller, *districts: str) -> str | None:
    """The clerk who does this for someone; None if they do it themselves. Refuses districts not the clerk's."""
    if caller.role == "worker":
        return None
    for district in districts:
        if not caller.covers(district):
            raise Forbidden(OTHER_DISTRICT, code="other-district", district=district)
    return caller.id


# --- registration ----------------------------------------------------------------------------------------------------


@routes.get("/registration-form")
async def registration_form(
    request: Request, parts: InParts, unit: InUnit, district: Annotated[GivenDistrict, Query()]
) -> Form:
    """The consent text and the categories of hardship of a district, in the caller's language."""
    language = language_of(request)
    table = await TIERS.of(unit, district)
    return Form(
        consent=ConsentText(version=CONSENT.version, text=getattr(CONSENT, language)),
        hardship=[Choice(code=code, label=getattr(kind, language)) for code, kind in table.categories.items()],
    )


@routes.post("/registration", status_code=201)
async def register(
    draft: RegistrationDraft, caller: WorkerOrClerk, parts: InParts, response: Response, unit: InUnit
) -> Registered:
    """Register a person under their real name, once in the region (201; 200 when they are registered already).

    A ban that was in force when an account under this number was erased is in force again.
    """
    worker_id = _subject(caller, draft.account_id, "account_id")
    clerk_id = _clerk(caller, draft.district)
    id_index = parts.people.blind(draft.id_number, field="id-number")
    known = await unit.get(Worker, worker_id)
    if known:
        if known.id_index != id_index:
            raise Conflict("registered-otherwise", SOMEONE_ELSE)
        response.status_code = 200
        return _registered(known, unit)
    if await worker_with(unit, id_index):
        raise Conflict("id-number-taken", TAKEN)
    today = local_day(unit.now, parts.zone)
    born = born_on(draft.id_number)
    if not old_enough(born, WORKING_AGE, today):
        raise Invalid("id_number", TOO_YOUNG, code="under-age")
    table = await TIERS.of(unit, draft.district)
    worker = Worker(
        id=worker_id,
        id_index=id_index,
        id_number=await parts.people.seal(draft.id_number, of=worker_id, field="id-number"),
        name=await parts.people.seal(draft.name, of=worker_id, field="name"),
        hardship=await _sealed_hardship(draft.hardship, worker_id, parts.people),
        tier=tier_of(table, draft.hardship, draft.id_number, today),
        tier_table=table.name,
        district=draft.district,
        skills=draft.skills,
        certificates=_certificates(draft.certificates, (), clerk_id, unit.now, parts.zone),
        floor_fen_per_hour=draft.floor_fen_per_hour,
        reach_m=draft.reach_m,
        accepts_automatically=draft.accepts_automatically,
        minor_until=None if old_enough(born, ADULT_AGE, today) else begins(birthday(born, ADULT_AGE), parts.zone),
        consent=Agreed(version=CONSENT.version, at=unit.now, clerk_id=clerk_id),
        registered_at=unit.now,
        said_at=unit.now,
    )
    if kept := await unit.get(KeptBan, id_index):
        worker.ban = kept.ban if unit.now < kept.gone_at else None
        unit.delete(kept)
    unit.save(worker)
    unit.publish(WorkerRegistered(worker_id=worker.id, district=worker.district, profile=worker.profile(unit.now)))
    watch(worker, unit)
    return _registered(worker, unit)


def _registered(worker: Worker, unit: Unit) -> Registered:
    minor = worker.profile(unit.now).minor
    return Registered(worker_id=worker.id, district=worker.district, tier=worker.tier, minor=minor)


async def _sealed_hardship(categories: list[str], worker_id: str, people: PersonalSealer) -> bytes:
    return await people.seal(orjson.dumps(categories).decode(), of=worker_id, field="hardship")


def _certificates(
    drafts: list[CertificateDraft],
    before: Iterable[Certificate],
    clerk_id: str | None,
    now: datetime,
    zone: ZoneInfo,
) -> list[Certificate]:
    """Certificates as declared. Checked is what a clerk enters, and what stays as it was when it was checked."""
    checks = {(certificate.code, certificate.until): certificate.checked_by for certificate in before}
    made = []
    for place, draft in enumerate(drafts):
        until = _end_of(draft.valid_until, zone)
        checked_by = clerk_id or checks.get((draft.code, until))
        certificate = Certificate(code=draft.code, until=until, checked_by=checked_by)
        if not certificate.good(now):
            field = f"certificates.{place}.valid_until"
            raise Invalid(field, NOT_NOW_VALID, certificate=draft.code, until=str(draft.valid_until))
        made.append(certificate)
    return made


def _end_of(valid_until: date | None, zone: ZoneInfo) -> datetime | None:
    return begins(valid_until + timedelta(days=1), zone) if valid_until else None


# --- the worker's own profile ----------------------------------------------------------------------------------------


@routes.get("/me")
async def my_profile(caller: WorkerCaller, parts: InParts, unit: InUnit) -> Profile:
    worker = await _mine(caller, unit)
    return Profile(
        **_conditions(worker, parts, unit).model_dump(),
        name=await parts.people.open(worker.name, of=worker.id, field="name"),
        id_number=masked(await parts.people.open(worker.id_number, of=worker.id, field="id-number")),
        hardship=await _hardship(worker, parts.people),
        consent=ConsentView(
            version=worker.consent.version,
            at=worker.consent.at,
            before_clerk=worker.consent.clerk_id is not None,
        ),
        registered_at=worker.registered_at,
    )


@routes.patch("/me")
async def change_profile(change: ProfileChange, caller: WorkerCaller, parts: InParts, unit: InUnit) -> Conditions:
    """Change some of the profile; the markets in which the worker waits hear of it at once."""
    worker = await _mine(caller, unit)
    said = _said(worker)
    given = change.model_fields_set
    for field in given - {"certificates", "hardship"}:
        setattr(worker, field, getattr(change, field))
    if "certificates" in given:
        worker.certificates = _certificates(change.certificates, worker.certificates, None, unit.now, parts.zone)
    if given & {"hardship", "district"}:  # another province has another table
        hardship = change.hardship if "hardship" in given else await _hardship(worker, parts.people)
        table = await TIERS.of(unit, worker.district)
        id_number = await parts.people.open(worker.id_number, of=worker.id, field="id-number")
        today = local_day(unit.now, parts.zone)
        worker.tier, worker.tier_table = tier_of(table, hardship, id_number, today), table.name
        worker.hardship = await _sealed_hardship(hardship, worker.id, parts.people)
    _keep(worker, said, unit)
    return _conditions(worker, parts, unit)


def _said(worker: Worker) -> tuple[str, WorkerProfile]:
    """What others heard of a worker last."""
    return worker.district, worker.profile(worker.said_at)


def _keep(worker: Worker, said: tuple[str, WorkerProfile], unit: Unit) -> None:
    """Save what has changed, and say it if others see it."""
    unit.save(worker)
    watch(worker, unit)
    if (worker.district, worker.profile(unit.now)) != said:
        say_changed(worker, unit)


@routes.get("/me/availability")
async def my_availability(caller: WorkerCaller, unit: InUnit) -> Availability:
    """When the caller may be offered work, in local time."""
    return Availability.of((await _mine(caller, unit)).calendar)


@routes.put("/me/availability")
async def set_availability(asked: Availability, caller: WorkerCaller, unit: InUnit) -> Availability:
    """Set the whole calendar. It is in force at the next window of each market in which the caller waits."""
    worker = await _mine(caller, unit)
    said = _said(worker)
    worker.calendar = asked.calendar()
    _keep(worker, said, unit)
    return Availability.of(worker.calendar)


# --- certificates at the counter -------------------------------------------------------------------------------------


class CertificatesView(BaseModel):
    worker_id: str
    certificates: list[CertificateView]


@routes.get("/{worker_id}/certificates")
async def certificates_of(worker_id: str, clerk: Clerk, parts: InParts, unit: InUnit) -> CertificatesView:
    """What a worker of the clerk's districts has declared."""
    return _shown(await _in_my_district(worker_id, clerk, unit), parts)


@routes.post("/{worker_id}/certificates/{code}/check")
async def check_certificate(
    worker_id: str, code: str, seen: CertificateCheck, clerk: Clerk, parts: InParts, unit: InUnit
) -> CertificatesView:
    """A clerk compared a declared certificate with the paper. Only then it counts where a gig asks for it.

    404 when it was not declared; 422 when the paper is past its day.
    """
    worker = await _in_my_district(worker_id, clerk, unit)
    declared = next((each for each in worker.certificates if each.code == code), None)
    if declared is None:
        raise Missing(CERTIFICATE)
    until = _end_of(seen.valid_until, parts.zone) if seen.approved else declared.until
    checked = Certificate(code=code, until=until, checked_by=clerk.id if seen.approved else None)
    if seen.approved and not checked.good(unit.now):
        raise Invalid("valid_until", NOT_NOW_VALID, certificate=code, until=str(seen.valid_until))
    said = _said(worker)
    worker.certificates = [checked if each is declared else each for each in worker.certificates]
    _keep(worker, said, unit)
    return _shown(worker, parts)


async def _in_my_district(worker_id: str, clerk: Caller, unit: Unit) -> Worker:
    worker = await unit.get(Worker, worker_id)
    if worker is None:
        raise Missing(REGISTRATION)
    _clerk(clerk, worker.district)
    return worker


def _shown(worker: Worker, parts: Parts) -> CertificatesView:
    return CertificatesView(worker_id=worker.id, certificates=_certificate_views(worker, parts))


async def _mine(caller: Caller, unit: Unit) -> Worker:
    worker = await unit.get(Worker, caller.id)
    if worker is None:
        raise Missing(REGISTRATION)
    return worker


async def _go_by_rules_of_now(worker: Worker, parts: Parts, unit: Unit) -> None:
    """Set the tier anew when the district's table is another than the one it was set by."""
    table = await TIERS.of(unit, worker.district)
    if worker.tier_table == table.name:
        return
    id_number = await parts.people.open(worker.id_number, of=worker.id, field="id-number")
    today, before = local_day(unit.now, parts.zone), worker.tier
    worker.tier = tier_by_other_rules(table, await _hardship(worker, parts.people), id_number, today)
    worker.tier_table = table.name
    unit.save(worker)
    if worker.tier != before:
        say_changed(worker, unit)


async def _hardship(worker: Worker, people: PersonalSealer) -> list[str]:
    categories: list[str] = orjson.loads(await people.open(worker.hardship, of=worker.id, field="hardship"))
    return categories


def _conditions(worker: Worker, parts: Parts, unit: Unit) -> Conditions:
    return Conditions(
        worker_id=worker.id,
        district=worker.district,
        skills=worker.skills,
        certificates=_certificate_views(worker, parts),
        floor_fen_per_hour=worker.floor_fen_per_hour,
        reach_m=worker.reach_m,
        tier=worker.tier,
        minor=worker.profile(unit.now).minor,
        **worker.model_dump(
            include={
                "accepts_automatically",
                "trades_wanted",
                "trades_unwanted",
                "only_with_meals",
                "only_with_lodging",
                "no_night",
            }
        ),
    )


def _certificate_views(worker: Worker, parts: Parts) -> list[CertificateView]:
    return [
        CertificateView(
            code=certificate.code,
            valid_until=local_day(certificate.until - timedelta(days=1), parts.zone) if certificate.until else None,
            checked=certificate.checked_by is not None,
        )
        for certificate in worker.certificates
    ]


add_routes(routes, TIERS)


# --- check-ins -------------------------------------------------------------------------------------------------------


@routes.get("/stations")
async def stations(asked: Annotated[StationsAsked, Query()]) -> Stations:
    """Where one can check in without giving a position; the nearest first when a point is given. Public."""
    listed = [station for station in STATIONS.values() if asked.district in (None, station.district)]
    if asked.lat is None or asked.lon is None:
        for name in ("lat", "lon", "within_m"):
            if getattr(asked, name) is not None:
                raise Invalid("lat" if asked.lat is None else "lon", WHOLE_POINT)
        return Stations(items=[StationView(distance_m=None, **station.model_dump()) for station in listed])
    point = asked.lat, asked.lon
    by_distance = sorted((metres(point, (station.lat, station.lon)), station.id) for station in listed)
    near = [(m, STATIONS[id]) for m, id in by_distance if asked.within_m is None or m <= asked.within_m]
    return Stations(items=[StationView(distance_m=round(m), **station.model_dump()) for m, station in near])


@routes.post("/check-ins", status_code=201)
async def check_in(draft: CheckInDraft, caller: WorkerOrClerk, parts: InParts, unit: InUnit) -> CheckIn:
    """Wait for work in some districts, in place of a check-in before.

    409 `not-registered`; `banned` and `worker-sanctioned` say until when, and how to appeal.
    """
    worker_id = _subject(caller, draft.worker_id, "worker_id")
    clerk_id = _clerk(caller, *draft.districts)
    cell = _cell(draft)
    until = waits_until(draft.until, unit.now, parts.zone)
    _, sanctions = await at_once(
        unit.load_each({Worker: [worker_id], Presence: [worker_id]}), sanctions_of(unit, worker_id)
    )
    worker = await unit.get(Worker, worker_id)
    if worker is None:
        raise Conflict("not-registered", NOT_REGISTERED)
    _must_not_be_banned(worker, unit.now)
    must_be_free_of(sanctions, SANCTIONED, unit.now)
    unit.save(worker)  # so that a ban or a sanction set at the same moment collides with it, and sees the check-in
    await _go_by_rules_of_now(worker, parts, unit)
    before = await unit.get(Presence, worker_id)
    if before:
        say_gone(before, "replaced", unit)
    presence = Presence(
        id=worker_id,
        version=before.version if before else 0,
        checkin_id=new_id(),
        districts=draft.districts,
        cell=cell,
        station_id=draft.station_id,
        at=unit.now,
        until=until,
        clerk_id=clerk_id,
    )
    unit.save(presence)
    unit.set_timer(CHECK_IN_ENDS, worker_id, until, checkin_id=presence.checkin_id)
    say_waiting(presence, worker, unit)
    return _check_in(presence)


def _cell(draft: CheckInDraft) -> str:
    if (draft.position is None) == (draft.station_id is None):
        raise Invalid("position", ONE_PLACE)
    if draft.position:
        return cell_of(draft.position.lat, draft.position.lon)
    station = STATIONS.get(draft.station_id or "")
    if station is None:
        raise Invalid("station_id", NO_STATION)
    return station.cell


@routes.get("/me/check-in")
async def my_check_in(caller: WorkerCaller, unit: InUnit) -> CheckIn:
    """Where the caller waits now; 404 when they do not."""
    presence = await unit.get(Presence, caller.id)
    if presence is None:
        raise Missing(CHECK_IN)
    return _check_in(presence)


@routes.post("/check-ins/{checkin_id}/end")
async def end_check_in(checkin_id: str, caller: WorkerCaller, unit: InUnit) -> Ended:
    """Wait no longer. 404 when this check-in is not the caller's, or is over."""
    presence = await unit.get(Presence, caller.id)
    if presence is None or presence.checkin_id != checkin_id:
        raise Missing(CHECK_IN)
    end(presence, "worker", unit)
    return Ended(checkin_id=checkin_id)


def _check_in(presence: Presence) -> CheckIn:
    return CheckIn(
        checkin_id=presence.checkin_id,
        districts=presence.districts,
        station_id=presence.station_id,
        at=presence.at,
        until=presence.until,
    )


# --- blocks and bans -------------------------------------------------------------------------------------------------


class BlockDraft(_Asked):
    """Why, and until when (for good if left out). Nobody but the caller sees either."""

    reason: BlockReason
    until: Instant | None = None


class BlockView(BaseModel):
    """With whom the caller is not brought together any more, and what that means for a shift already agreed."""

    with_id: str
    reason: str
    at: datetime
    until: datetime | None
    note: str


class Blocks(BaseModel):
    items: list[BlockView]
    next: None = None


@routes.get("/blocks")
async def my_blocks(caller: Party, request: Request, unit: InUnit) -> Blocks:
    """The blocks in force that the caller asked for."""
    return Blocks(items=[_block_view(block, caller, request) for block in await blocks_by(unit, caller.id)])


@routes.put("/blocks/{other_id}")
async def block(other_id: OtherId, asked: BlockDraft, caller: Party, request: Request, unit: InUnit) -> BlockView:
    """Not be brought together with an employer (for a worker) or a worker (for an employer) any more.

    It is in force at the next window, also for an offer in hand. A placement that exists stays. The other side is not
    told. Asked again, it replaces what was asked.
    """
    if asked.until is not None and asked.until <= unit.now:
        raise Invalid("until", NOT_PAST)
    id = f"{caller.role}:{caller.id}:{other_id}"
    worker_id, employer_id = (caller.id, other_id) if caller.role == "worker" else (other_id, caller.id)
    made = await unit.get(Block, id) or Block(
        id=id,
        block_id=new_id(),
        by_id=caller.id,
        worker_id=worker_id,
        employer_id=employer_id,
        reason=asked.reason,
        at=unit.now,
        until=asked.until,
    )
    made.reason, made.at, made.until = asked.reason, unit.now, asked.until
    unit.save(made)
    unit.publish(PairBlocked(block_id=made.block_id, worker_id=worker_id, employer_id=employer_id, until=asked.until))
    return _block_view(made, caller, request)


@routes.delete("/blocks/{other_id}", status_code=204)
async def unblock(other_id: OtherId, caller: Party, unit: InUnit) -> None:
    """Take a block back. Nothing happens when there is none."""
    made = await unit.get(Block, f"{caller.role}:{caller.id}:{other_id}")
    if made:
        unit.delete(made)
        unit.publish(PairUnblocked(block_id=made.block_id, worker_id=made.worker_id, employer_id=made.employer_id))


def _block_view(block: Block, caller: Caller, request: Request) -> BlockView:
    return BlockView(
        with_id=block.employer_id if caller.role == "worker" else block.worker_id,
        note=getattr(PLACEMENTS_STAY, language_of(request)),
        **block.model_dump(include={"reason", "at", "until"}),
    )


class BanDraft(_Asked):
    """A region's ban: `reason` a code, `note` what happened and where to appeal, `until` its end if it has one."""

    reason: Code
    note: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=500)]
    until: Instant | None = None


class AppealView(BaseModel):
    """`reason` is what the clerk says who decided."""

    text: str
    at: datetime
    state: AppealState
    reason: str | None
    decided_at: datetime | None


class BanView(BaseModel):
    worker_id: str
    reason: str
    note: str
    until: datetime | None
    appeal: AppealView | None

    @classmethod
    async def of(cls, worker: Worker, ban: Ban, people: PersonalSealer) -> "BanView":
        appeal = None
        if ban.appeal:
            text = await people.open(ban.appeal.text, of=worker.id, field="appeal")
            appeal = AppealView(text=text, **ban.appeal.model_dump(exclude={"text", "decided_by"}))
        return cls(worker_id=worker.id, appeal=appeal, **ban.model_dump(include={"reason", "note", "until"}))


class BanPage(BaseModel):
    items: list[BanView]
    next: str | None


@routes.put("/{worker_id}/ban")
async def ban(worker_id: str, asked: BanDraft, clerk: Clerk, parts: InParts, unit: InUnit) -> BanView:
    """Keep a worker of the clerk's districts from waiting for work, in the whole region; ends their check-in."""
    worker = await _in_my_district(worker_id, clerk, unit)
    if asked.until is not None and asked.until <= unit.now:
        raise Invalid("until", NOT_PAST)
    worker.ban = Ban(**asked.model_dump(), by=clerk.id, at=unit.now)
    unit.save(worker)
    presence = await unit.get(Presence, worker_id)
    if presence:
        end(presence, "expired", unit)
    note = await parts.people.seal(asked.note, of=worker_id, field="ban-note")
    facts = {"worker_id": worker_id, "reason": asked.reason, "until": asked.until, "note": note}
    await audit(unit, clerk.id, "worker banned", **facts)
    return await BanView.of(worker, worker.ban, parts.people)


@routes.delete("/{worker_id}/ban", status_code=204)
async def lift_ban(worker_id: str, clerk: Clerk, unit: InUnit) -> None:
    """End a ban before its time."""
    worker = await _in_my_district(worker_id, clerk, unit)
    if worker.ban:
        worker.ban = None
        unit.save(worker)
        await audit(unit, clerk.id, "ban lifted", worker_id=worker_id)


@routes.get("/me/ban")
async def my_ban(caller: WorkerCaller, parts: InParts, unit: InUnit) -> BanView:
    """The caller's last ban, with what came of an appeal against it; 404 without one."""
    worker = await _mine(caller, unit)
    if worker.ban is None:
        raise Missing(BAN)
    return await BanView.of(worker, worker.ban, parts.people)


class AppealDraft(_Asked):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=1_000)]


@routes.post("/me/ban/appeal")
async def appeal(asked: AppealDraft, caller: WorkerCaller, parts: InParts, unit: InUnit) -> BanView:
    """Say why a ban is wrong, for another clerk to decide. It may be said anew until that, and is decided once.

    404 without a ban in force; 409 `appeal-decided`.
    """
    worker = await _mine(caller, unit)
    if worker.ban and worker.ban.appeal and worker.ban.appeal.state != "waiting":
        raise Conflict("appeal-decided", APPEAL_DECIDED, state=worker.ban.appeal.state, reason=worker.ban.appeal.reason)
    if (found := worker.banned(unit.now)) is None:
        raise Missing(BAN)
    text = await parts.people.seal(asked.text, of=worker.id, field="appeal")
    found.appeal = BanAppeal(text=text, at=unit.now)
    unit.save(worker)
    return await BanView.of(worker, found, parts.people)


@routes.get("/bans/appeals")
async def appeals(
    clerk: Clerk,
    parts: InParts,
    unit: InUnit,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> BanPage:
    """Bans in the clerk's districts whose appeal waits for a decision, by the worker's id."""
    districts = None if clerk.role == "operator" else clerk.districts
    found = await appeals_in(unit, districts, after=after, limit=limit + 1)
    await parts.people.load(worker.id for worker in found)
    items = [await BanView.of(worker, worker.ban, parts.people) for worker in found[:limit] if worker.ban]
    return BanPage(items=items, next=items[-1].worker_id if len(found) > limit else None)


class AppealDecision(_Asked):
    """`upheld`: the appeal was right, and the ban is over."""

    upheld: bool
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=500)]


@routes.post("/{worker_id}/ban/appeal/decision")
async def decide_appeal(
    worker_id: str, decision: AppealDecision, clerk: Clerk, parts: InParts, unit: InUnit
) -> BanView:
    """Decide an appeal. 403 `same-clerk` for one's own ban; 409 `no-appeal-waits`."""
    worker = await _in_my_district(worker_id, clerk, unit)
    if worker.ban is None or worker.ban.appeal is None or worker.ban.appeal.state != "waiting":
        raise Conflict("no-appeal-waits", NO_APPEAL_WAITS)
    if worker.ban.by == clerk.id:
        raise Forbidden(SAME_CLERK, code="same-clerk")
    made = worker.ban.appeal
    made.state, made.reason = "upheld" if decision.upheld else "rejected", decision.reason
    made.decided_by, made.decided_at = clerk.id, unit.now
    unit.save(worker)
    reason = await parts.people.seal(decision.reason, of=worker_id, field="ban-reason")
    await audit(unit, clerk.id, "ban appeal decided", worker_id=worker_id, upheld=decision.upheld, reason=reason)
    return await BanView.of(worker, worker.ban, parts.people)


def _must_not_be_banned(worker: Worker, now: datetime) -> None:
    if found := worker.banned(now):
        until = found.until.isoformat() if found.until else "-"
        raise Conflict("banned", BANNED, reason=found.reason, note=found.note, until=until)
