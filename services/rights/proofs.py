"""What shows that a worker is at the work site: its code, or a position near it."""

from datetime import datetime, timedelta
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rights import codes, domain
from services.rights.rules import Rules
from services.rights.store import Agreement, Parties, Proof, Shift
from shared.contracts.terms import Instant, Place
from shared.problems import Conflict, Invalid, Text
from shared.sealed import PersonalSealer
from shared.unit import Unit

NOTE = "override_note"
"""The field that the words of whoever vouches for a start are sealed for."""

LOOKED_BACK = timedelta(hours=1)
"""Codes of so long ago are known again, to say that one is too old rather than wrong."""

ONE_PROOF = Text("give either a code or a position, not both", "签到码与位置只能填写一项")
SAY_PROOF = Text(
    "is required here, or a position: the code that the work site shows",
    "本地区开工须填写工作场所显示的签到码，或提供位置",
)
LATE_NEEDS_CODE = Text(
    "is required of a check-in that was made offline: the code that was shown then",
    "离线签到须填写当时显示的签到码",
)
OTHER_SITE = Text("This code is of another work site or gig.", "该签到码属于其他工作场所或其他用工。")
WRONG_CODE = Text(
    "This is not the code of this work site. Read the one that is shown there now.",
    "签到码不是本工作场所的。请输入现场当前显示的签到码。",
)
OLD_CODE = Text(
    "This code has expired: one is good for {seconds} s. Read the one that is shown now.",
    "签到码已过期（有效期 {seconds} 秒）。请输入现场当前显示的签到码。",
)
OTHER_TIME = Text(
    "This code was shown at another time than your device says; its clock may be off by at most {seconds} s.",
    "该签到码的显示时间与设备时间不符；设备时钟误差不得超过 {seconds} 秒。",
)
TOO_MANY_CODES = Text(
    "{most} codes for this shift were wrong. Ask the employer or a clerk to confirm that you are here.",
    "该班次已输错 {most} 次签到码。请由用工方或工作人员确认您已到场。",
)
TOO_FAR = Text(
    "You are {distance_m} m from the workplace; a start is possible within {most_m} m. "
    "The employer or a clerk may confirm that you are here.",
    "您距工作地点 {distance_m} 米，须在 {most_m} 米以内才能开工。用工方或工作人员可为您确认到场。",
)
AHEAD = Text(
    "is ahead of the time by {ahead} s; a device's clock may be off by at most {seconds} s",
    "比当前时间快 {ahead} 秒；设备时钟误差不得超过 {seconds} 秒",
)
TOO_OLD = Text(
    "A check-in that was made offline must come within {hours} h. Ask the employer or a clerk.",
    "离线签到须在 {hours} 小时内补传。请联系用工方或工作人员。",
)


class Position(BaseModel):
    """WGS 84 degrees. Only the distance from the workplace is kept."""

    model_config = ConfigDict(extra="forbid")

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class ShiftStart(BaseModel):
    """What the worker shows: the work site's `code`, with the `gig_id` of its QR code if it was read; or a `position`.

    `seen_at`, of a check-in that was made offline: the device's time when it was made and the code was seen.
    """

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None
    gig_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    position: Position | None = None
    seen_at: Instant | None = None


def secret_of(sealer: PersonalSealer, employer_id: str, gig_id: str) -> bytes:
    """What a gig's codes are made of: derived (RFC 4226, section 7.5), so that it is kept nowhere."""
    return bytes.fromhex(sealer.blind(f"{employer_id}/{gig_id}", field="site-code"))


def check_form(given: ShiftStart) -> None:
    """Raises `Invalid` when what is given cannot be a proof at all."""
    if given.code and given.position:
        raise Invalid("position", ONE_PROOF)
    if given.seen_at and not given.code:
        raise Invalid("code", LATE_NEEDS_CODE)


def moment_of(seen_at: datetime | None, rules: Rules, now: datetime) -> datetime:
    """When it was made: by the device, if that was offline. Raises `Invalid` clock-ahead, `Conflict` too-old."""
    if seen_at is None:
        return now
    if seen_at > now + rules.clock_skew:
        ahead = int((seen_at - now).total_seconds())
        raise Invalid("seen_at", AHEAD, code="clock-ahead", ahead=ahead, seconds=rules.clock_skew_seconds)
    if seen_at < now - rules.late_sync:
        raise Conflict("too-old", TOO_OLD, hours=rules.late_sync_hours)
    return min(seen_at, now)


async def distance_of(unit: Unit, shift: Shift, position: Position | None) -> int | None:
    """How far a position is from the workplace of the agreement, in whole metres."""
    agreement = await unit.get(Agreement, shift.id) if position else None
    if position is None or agreement is None:
        return None
    place = Place.model_validate(orjson.loads(agreement.text)["terms"]["place"])
    return round(domain.metres((position.lat, position.lon), (place.lat, place.lon)))


def judge(
    given: ShiftStart, distance_m: int | None, shift: Shift, rules: Rules, sealer: PersonalSealer, now: datetime
) -> Proof:
    """What is given, as a proof. Raises `Conflict` or `Invalid` with the reason when it is none."""
    if given.code:
        _check_code(given.code, given, shift, rules, sealer, now)
        return Proof(method="code")
    if distance_m is not None:
        if distance_m > rules.radius_m:
            raise Conflict("too-far", TOO_FAR, distance_m=distance_m, most_m=rules.radius_m)
        return Proof(method="geofence", distance_m=distance_m)
    if rules.proof == "required":
        raise Invalid("code", SAY_PROOF, code="proof-required")
    return Proof()


async def note_of(shift: Shift, sealer: PersonalSealer) -> str | None:
    """What an employer or clerk wrote who vouched for a start, opened."""
    return await sealer.opened(shift.proof.note, of=shift.parties.worker_id, field=NOTE)


def _check_code(
    code: str, given: ShiftStart, shift: Shift, rules: Rules, sealer: PersonalSealer, now: datetime
) -> None:
    if shift.wrong_codes >= rules.max_wrong_codes:
        raise Conflict("too-many-codes", TOO_MANY_CODES, most=rules.max_wrong_codes)
    of: Parties = shift.parties
    if given.gig_id not in (None, of.gig_id):
        raise Conflict("other-site", OTHER_SITE)
    secret = secret_of(sealer, of.employer_id, of.gig_id)
    seen, skew = (given.seen_at, rules.clock_skew) if given.seen_at else (now, timedelta(0))
    if codes.holds(secret, code, seen, skew):
        return
    if given.seen_at and codes.holds(secret, code, seen, LOOKED_BACK):
        raise Conflict("other-time", OTHER_TIME, seconds=rules.clock_skew_seconds)
    if codes.holds(secret, code, seen - LOOKED_BACK / 2, LOOKED_BACK / 2):
        raise Conflict("code-expired", OLD_CODE, seconds=int(codes.GOOD_FOR.total_seconds()))
    raise Conflict("wrong-code", WRONG_CODE)
