"""The rules of posting: plain functions on plain data, without I/O and without a clock."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import h3

from services.posting.rules import Policy
from shared.contracts.posting import GigTerms
from shared.problems import Fault, Text
from shared.wording import Said

EmployerStatus = Literal["pending", "verified", "rejected", "lapsed"]
GigStatus = Literal["open", "filled", "closed"]
CloseReason = Literal["employer", "expired", "suspended"]
KnownHazard = Literal[
    "dust",
    "toxic",
    "height",
    "cold-water",
    "heat",
    "cold",
    "heavy-labour",
    "mine",
    "logging",
    "radiation",
    "fire-or-burns",
    "prospecting",
    "diving-or-altitude",
    "heavy-loads",
    "vibrating-tools",
    "forced-posture",
    "boiler",
    "adult-venue",
]
"""What a post can say of its dangers: the seventeen kinds of 劳部发〔1994〕498号, art. 3, in their order, and a place
where nobody under 18 may be employed (Law on the Protection of Minors, art. 61)."""

ReviewStatus = Literal["waiting", "approved", "refused", "withdrawn"]

# --- unified social credit code ------------------------------------------------------------------------------------

CREDIT_CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_SHAPE = re.compile(f"[{CREDIT_CHARACTERS}]{{2}}[0-9]{{6}}[{CREDIT_CHARACTERS}]{{10}}")


def credit_check(body: str) -> str:
    """The check character of the 17 characters before it (GB 32100-2015, after ISO 7064 MOD 31-3)."""
    weighted = sum(CREDIT_CHARACTERS.index(character) * pow(3, place, 31) for place, character in enumerate(body))
    return CREDIT_CHARACTERS[-weighted % 31]


def credit_code(text: str) -> str:
    """A unified social credit code in capitals, without blanks around it. Raises `Said` when it is none.

    GB 32100-2015: 18 digits and capital letters without I, O, S, V, Z; places 3 to 8 are the registering authority's
    division; the last is the check character.
    """
    code = text.strip().upper()
    if not _CREDIT_SHAPE.fullmatch(code):
        raise Said(
            "must be a unified social credit code: 18 digits and capital letters without I, O, S, V, Z",
            "应为统一社会信用代码：18 位数字和大写字母，不含 I、O、S、V、Z",
        )
    if credit_check(code[:17]) != code[17]:
        raise Said(
            "is no unified social credit code: its check character does not fit; compare it with the licence",
            "不是有效的统一社会信用代码：校验码不符，请与营业执照核对",
        )
    return code


# --- what a post may say -------------------------------------------------------------------------------------------


TOO_SOON = Text(
    "must be at least {minutes} minutes from now ({earliest} or later)",
    "应至少在 {minutes} 分钟之后（不早于 {earliest}）",
)
TOO_LONG = Text("must be at most {hours} hours after the start", "应在开始后 {hours} 小时以内")
TOO_MANY = Text("must be at most {most}", "应不大于 {most}")
OUTSIDE = Text("must be from {low} to {high} degrees", "应在 {low} 到 {high} 度之间")
PAST = Text("must be later than now", "应晚于当前时间")
AFTER_SHIFT = Text("must not be after the end of the shift ({end})", "不得晚于班次结束时间（{end}）")
CREW_TOO_LARGE = Text("must be at most the headcount ({headcount})", "不得多于招聘人数（{headcount}）")
CREW_INSTANT = Text(
    "must be instant where a crew is wanted: the crew itself is what is waited for", "成班招用只能为即时确认（instant）"
)
CREW_IN_TIME = Text(
    "must not be after the start ({start}) where a crew is wanted", "成班招用的有效期不得晚于开工时间（{start}）"
)
TOO_FAR = Text("must be at most {days} days from now ({latest} or earlier)", "有效期最长 {days} 天（不晚于 {latest}）")
UNCHECKED = Text(
    "must not be after {until}, when the check of your business ends; have it renewed or choose an earlier time",
    "不得晚于企业核验到期时间（{until}），请先办理重新核验或选择更早的时间",
)


def broken_rules(
    terms: GigTerms, policy: Policy, *, now: datetime, verified_until: datetime, before: GigTerms | None = None
) -> tuple[Fault, ...]:
    """Every field of a gig's terms that is against the policy; none when they may stand.

    `before` are the terms that an amendment changes: a start that stays needs no lead any more. No gig outlives the
    check of its employer (`verified_until`).
    """
    period, place, faults = terms.period, terms.place, []

    def require(holds: bool, field: str, text: Text, **figures: Any) -> None:
        if not holds:
            faults.append(Fault(field, Text(text.en.format(**figures), text.zh.format(**figures))))

    earliest = now + timedelta(minutes=policy.min_lead_minutes)
    latest = now + timedelta(days=policy.max_validity_days)
    bounds, until = policy.bounds, terms.valid_until
    require(
        period.start >= earliest or (before is not None and period.start == before.period.start),
        "period.start", TOO_SOON, minutes=policy.min_lead_minutes, earliest=written(earliest),
    )  # fmt: skip
    longest = timedelta(hours=policy.max_shift_hours)
    require(period.end - period.start <= longest, "period.end", TOO_LONG, hours=policy.max_shift_hours)
    require(terms.headcount <= policy.max_headcount, "headcount", TOO_MANY, most=policy.max_headcount)
    require(bounds.south <= place.lat <= bounds.north, "place.lat", OUTSIDE, low=bounds.south, high=bounds.north)
    require(bounds.west <= place.lon <= bounds.east, "place.lon", OUTSIDE, low=bounds.west, high=bounds.east)
    require(until > now, "valid_until", PAST)
    require(until <= period.end, "valid_until", AFTER_SHIFT, end=written(period.end))
    require(until <= latest, "valid_until", TOO_FAR, days=policy.max_validity_days, latest=written(latest))
    require(until <= verified_until, "valid_until", UNCHECKED, until=written(verified_until))
    if terms.crew:
        count, start = terms.headcount, period.start
        require(terms.crew.least <= count, "crew.least", CREW_TOO_LARGE, headcount=count)
        require(terms.hiring == "instant", "hiring", CREW_INSTANT)
        require(until <= start, "valid_until", CREW_IN_TIME, start=written(start))
    return tuple(faults)


MAY_CHANGE = frozenset({"employer_name", "title", "content", "hazards", "headcount", "valid_until"})
"""What of a gig can be other without it being another gig: its words, and downwards how many it hires and how long."""


def hires_more(before: GigTerms, after: GigTerms) -> bool:
    """True when an amendment hires more people, for longer, or for another gig: other work, place, time or pay."""
    others = after.model_dump(exclude=set(MAY_CHANGE)) != before.model_dump(exclude=set(MAY_CHANGE))
    return others or after.headcount > before.headcount or after.valid_until > before.valid_until


def written(moment: datetime) -> str:
    """A UTC time as RFC 3339 to the second, such as 2026-11-22T22:00:00Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- search --------------------------------------------------------------------------------------------------------

EARTH_M = 6_378_100
"""The radius that MongoDB measures with."""


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The great-circle distance of two (lat, lon)."""
    return float(h3.great_circle_distance(a, b, unit="rads")) * EARTH_M


def nearest_rank(posts_by_fen: Mapping[int, int], share: float) -> int | None:
    """The nearest-rank quantile of figures that are given with how often each stands; None of none."""
    rank = max(1, math.ceil(share * sum(posts_by_fen.values())))
    for fen in sorted(posts_by_fen):
        rank -= posts_by_fen[fen]
        if rank <= 0:
            return fen
    return None


def areas_of(district: str) -> Sequence[str]:
    """A district, its prefecture and its province (GB/T 2260): 430102, 4301, 43."""
    return district, district[:4], district[:2]
