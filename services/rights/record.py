"""A worker's record of work: what rights knows of it, signed, so that anybody can check it without us.

W3C Verifiable Credentials Data Model 2.0 as a JWT (`shared/credential.py`). It holds what its worker chose and no
more, and no name: rights knows none. Who shows it is its worker when they are the account that it names, or can sign
with the did:key that they gave.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.rights import ratings
from services.rights.document import Language, Paper, moment, yuan_of
from services.rights.domain import iso
from services.rights.rules import POLICY
from services.rights.store import Ability, Agreement, Payment, Timesheet
from shared.credential import CONTEXT
from shared.problems import Text
from shared.signing import Signing
from shared.unit import Unit

SIGNING = Signing(POLICY.records.key_signs, past=None)

Part = Literal["pay", "skills", "certificates", "ratings"]

FORM = "kuaizhao-work-record/1"
VOCABULARY = "https://kuaizhao.local/work-record#"
"""What the members of a record are named below (JSON-LD `@vocab`)."""


# --- what it says ----------------------------------------------------------------------------------------------------


async def credential(
    unit: Unit,
    id: str,
    worker_id: str,
    sheets: list[Timesheet],
    parts: frozenset[Part],
    *,
    days: tuple[str, str],
    issuer: str,
    subject: str | None,
) -> dict[str, Any]:
    """The record `id` of these timesheets' shifts. `days`: the first and the last local day that it is of.

    Pay is in fen, and for work alone; times are UTC; `minutesBy` says whose word made the minutes stand, None while
    nobody's did.
    """
    base = issuer.rstrip("/")
    ids = [sheet.id for sheet in sheets]
    await unit.load(Agreement, ids)
    if "pay" in parts:
        await unit.load(Payment, ids)
    shifts = [await _shift(unit, sheet, with_pay="pay" in parts) for sheet in sheets]
    about: dict[str, Any] = {
        "id": subject or f"{base}/workers/{worker_id}",
        "form": FORM,
        "firstDay": days[0],
        "lastDay": days[1],
        "totalMinutes": sum(shift["minutes"] for shift in shifts),
        "shifts": shifts,
    }
    known = await unit.get(Ability, worker_id)
    if known and "skills" in parts:
        about["skills"] = list(known.skills)
    if known and "certificates" in parts:
        about["certificates"] = list(known.certificates)
    if "ratings" in parts:
        count, hundredths = await ratings.average_of(unit, "worker", worker_id)
        if hundredths is not None:
            about["ratings"] = {
                "averageHundredths": hundredths,
                "ratings": count,
                "days": POLICY.ratings.average_days,
            }
    return {
        "@context": [CONTEXT, {"@vocab": VOCABULARY}],
        "id": f"{base}/api/rights/records/{id}",
        "type": ["VerifiableCredential", "WorkRecord"],
        "issuer": base,
        "validFrom": iso(unit.now.replace(microsecond=0)),
        "validUntil": iso(unit.now.replace(microsecond=0) + POLICY.records.good),
        "credentialStatus": {"id": f"{base}/api/rights/records/{id}/status", "type": "WorkRecordStatus"},
        "credentialSubject": about,
    }


async def _shift(unit: Unit, sheet: Timesheet, *, with_pay: bool) -> dict[str, Any]:
    agreement = await unit.get(Agreement, sheet.id)
    if agreement is None:
        raise LookupError("a timesheet stands without its agreement")
    terms = agreement.terms
    said: dict[str, Any] = {
        "employer": {"id": sheet.parties.employer_id, "name": terms.employer_name},
        "work": terms.title,
        "occupation": terms.occupation,
        "district": sheet.parties.district,
        "start": iso(sheet.started_at),
        "end": iso(sheet.ended_at),
        "minutes": sheet.counted,
        "minutesBy": sheet.settled_by or sheet.approved_by,
    }
    pay = await unit.get(Payment, sheet.id) if with_pay else None
    if pay and pay.reason == "work":
        said["pay"] = {"amountFen": pay.amount_fen, "confirmed": pay.confirmed_at is not None}
    return said


def sha256(record: str) -> str:
    return hashlib.sha256(record.encode()).hexdigest()


# --- as people read it -----------------------------------------------------------------------------------------------

TITLE = Text("Record of work", "工作经历证明")
TIMES = Text("Times are of the zone {zone}.", "时间均为 {zone} 时区时间。")
CHECK = Text(
    "This document is made from the signed record, which alone counts. Whoever has the record's file and the issuer's "
    "published keys checks it without asking anybody: kuaizhao record verify. SHA-256 of the record:",
    "本文书依据已签名的工作经历凭证生成，以凭证为准。持有凭证文件和签发方公布的公钥，即可离线核验：kuaizhao record "
    "verify。凭证的 SHA-256 值：",
)
NOT_GOOD = Text("Not a valid record: {why}", "凭证无效：{why}")
DAYS = Text("{first} to {last}", "{first} 至 {last}")
HOURS = Text("{hours} h {minutes} min, {shifts} shifts", "{hours} 小时 {minutes} 分钟，共 {shifts} 班")
SHIFT = Text(
    "{work} ({occupation}), {employer}, district {district}; {minutes} minutes, {by}",
    "{work}（{occupation}），{employer}，区县 {district}；{minutes} 分钟，{by}",
)
BY: dict[str | None, Text] = {
    "employer": Text("approved by the employer", "用工方已确认"),
    "deadline": Text("undisputed in time", "用工方未在时限内提出异议"),
    "worker": Text("agreed by both sides", "双方一致"),
    "clerk": Text("decided by a clerk", "工作人员裁定"),
    "lapse": Text("disputed, and not shown in time to be otherwise", "用工方曾提出异议，逾期未能证明"),
    None: Text("not confirmed yet", "尚未确认"),
}
PAY = {
    True: Text("; ¥{yuan}, received", "；报酬 {yuan} 元，已收到"),
    False: Text("; ¥{yuan}, not confirmed as received", "；报酬 {yuan} 元，未确认收到"),
}
AVERAGE = Text(
    "{average} of 5, from {ratings} ratings in {days} days", "{average} 分（满分 5 分），{days} 天内 {ratings} 次评价"
)


def paper(record: str, said: Mapping[str, Any], *, faults: str, language: Language, zone: ZoneInfo) -> Paper:
    """What a record says, in words, with times of `zone`. `faults`: why it does not hold any more, if it does not."""

    def say(text: Text, **facts: object) -> str:
        return text.say(language, facts)

    return Paper(
        language=language,
        title=say(TITLE),
        void=say(NOT_GOOD, why=faults) if faults else "",
        rows=tuple((say(label), value) for label, value in _rows(said, language, zone)),
        times=say(TIMES, zone=zone.key),
        check=say(CHECK),
        sha256=sha256(record),
        agreed="",
        text="",
    )


def _rows(said: Mapping[str, Any], language: Language, zone: ZoneInfo) -> Iterator[tuple[Text, str]]:
    def say(text: Text, **facts: object) -> str:
        return text.say(language, facts)

    def local(at: str) -> str:
        return moment(datetime.fromisoformat(at), zone)

    about = said["credentialSubject"]
    total = divmod(about["totalMinutes"], 60)
    yield Text("Issued by", "签发方"), said["issuer"]
    yield Text("Number", "编号"), said["id"].rpartition("/")[2]
    yield Text("Of", "持有人"), about["id"]
    yield Text("Issued at", "签发时间"), local(said["validFrom"])
    yield Text("Valid until", "有效期至"), local(said["validUntil"])
    yield Text("Period", "期间"), say(DAYS, first=about["firstDay"], last=about["lastDay"])
    yield Text("Worked", "合计工时"), say(HOURS, hours=total[0], minutes=total[1], shifts=len(about["shifts"]))
    if "ratings" in about:
        rated = about["ratings"]
        average = f"{rated['averageHundredths'] / 100:.2f}"
        yield Text("Rated by employers", "用工方评价"), say(AVERAGE, average=average, **rated)
    for name, label in (("skills", Text("Skills", "技能")), ("certificates", Text("Certificates", "证书"))):
        if name in about:
            yield label, ("、" if language == "zh" else ", ").join(about[name]) or "–"
    for shift in about["shifts"]:
        facts = {name: shift[name] for name in ("work", "occupation", "district", "minutes")}
        line = say(SHIFT, employer=shift["employer"]["name"], by=say(BY[shift["minutesBy"]]), **facts)
        if pay := shift.get("pay"):
            line += say(PAY[pay["confirmed"]], yuan=yuan_of(pay["amountFen"]))
        when = f"{local(shift['start'])} – {local(shift['end'])}"
        yield Text(when, when), line
