"""Why somebody was or was not offered a gig: what the window went by, in words (Provisions on Algorithm
Recommendation, 互联网信息服务算法推荐管理规定, art. 17 and 20: people may have a decision explained)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from services.matching import engine, record, snapshot, store
from services.matching.domain import ADULTS
from services.matching.engine import SCALE, Bits
from services.matching.record import Inputs
from services.matching.snapshot import WORD
from services.matching.store import Gig, Window
from shared.problems import Text
from shared.unit import Unit

Outcome = Literal["offered", "not-eligible", "others-first", "not-there"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LOOKED_AT = 20
"""So many windows of a gig, the newest first, are searched for the person."""

TEXTS = {
    "reach": Text(
        "It is {distance_m} m from where you waited; you said you go at most {reach_m} m.",
        "工作地点距您签到处 {distance_m} 米，超过您设置的最远 {reach_m} 米。",
    ),
    "circle": Text(
        "It is {distance_m} m from where you waited and did not begin soon, so it was offered to people nearer "
        "first: you were offered what is within {circle_m} m, and more the longer you waited.",
        "工作地点距您签到处 {distance_m} 米，且并非即将开工，先向更近的人员推荐；"
        "当时向您推荐的范围为 {circle_m} 米，等候越久范围越大。",
    ),
    "way": Text(
        "It began in {lead_minutes} minutes, and the way takes about {way_minutes}.",
        "距开工只有 {lead_minutes} 分钟，路上约需 {way_minutes} 分钟。",
    ),
    "pay": Text(
        "An hour of it pays {pay_yuan} yuan; you asked for at least {floor_yuan}.",
        "该岗位每小时 {pay_yuan} 元，低于您要求的最低 {floor_yuan} 元。",
    ),
    "age": Text(
        "The law keeps people under 18 from this work.",
        "依法不得安排未满 18 周岁的人员从事该工作。",
    ),
    "skills": Text(
        "It asks for {missing}, which you had not entered, or whose certificate had ended.",
        "该岗位要求 {missing}，您当时没有登记，或证书已过期。",
    ),
    "wishes": Text(
        "It is among what you said you do not take: {tags}.",
        "属于您设置的不接受的工作：{tags}。",
    ),
    "calendar": Text(
        "You said that you are not there from {start} to {end}.",
        "您设置的可工作时间不包括 {start} 至 {end}。",
    ),
    "rest": Text(
        "You had promised to work from {start} to {end}; the rest between the work of two days would be too short.",
        "您在 {start} 至 {end} 已有约定的工作，两日工作之间的休息时间不足。",
    ),
    "hours": Text(
        "The shift has {takes} minutes, and of the most that may be worked in its day or week you had {left} left.",
        "该班次为 {takes} 分钟，当日或当周您还可工作 {left} 分钟。",
    ),
    "overlap": Text(
        "You had promised to work from {start} to {end}, which overlaps it.",
        "您在 {start} 至 {end} 已有约定的工作，与该岗位时间冲突。",
    ),
    "refused": Text(
        "You are not brought together again: you had declined it, a placement in it had ended, or one of you asked not "
        "to be.",
        "该岗位不再为您匹配：您此前拒绝过、在该岗位的录用已结束，或双方中有一方不愿再匹配。",
    ),
    "others-first": Text(
        "You could have done it. {offers} offers were made of it; the lowest score among them was {least}, yours was "
        "{score} (of at most {most}). Between equal scores the lot decides (seed {seed}).",
        "您符合条件。该岗位本轮发出 {offers} 份邀约，其中最低得分 {least}，您的得分 {score}（满分 {most}）。"
        "得分相同的抽签决定（种子 {seed}）。",
    ),
    "all-elsewhere": Text(
        "You could have done it, and it made no new offer in that round: as many were open as its seats allow, its "
        "seats were kept for people whom nothing else fits, or you were offered another gig.",
        "您符合条件。该岗位本轮没有发出新的邀约：未答复的邀约已达上限，席位留给了只适合该岗位的人员，或您收到了其他岗位的邀约。",
    ),
    "offered": Text(
        "You were offered it: it is {distance_m} m from where you waited, your score was {score} of at most {most}.",
        "已向您发出邀约：工作地点距您签到处 {distance_m} 米，您的得分 {score}（满分 {most}）。",
    ),
    "not-there": Text(
        "You were not among those who could be offered it: you did not wait in its district, held another offer, or "
        "had been placed since you checked in.",
        "当时您不在可邀约的人员之列：您没有在该区县签到候工、手上有其他邀约，或签到后已被录用。",
    ),
}


class Because(NamedTuple):
    """One reason: its code, the figures behind it, and the sentence that holds them."""

    code: str
    facts: dict[str, Any]

    @property
    def text(self) -> Text:
        return TEXTS[self.code]


class Why(NamedTuple):
    """The answer. `window` is the record that it is from; None for how things stand now.

    `score` is of ten thousand, also where a rule forbids the pair.
    """

    outcome: Outcome
    at: datetime
    rules: str
    window: str | None
    score: int | None
    because: list[Because]


async def ask(unit: Unit, gig: Gig, worker_id: str, zone: ZoneInfo) -> Why:
    """Why a worker was or was not offered a gig: by the offer, or the last window kept that both were in, or by now."""
    if offer := await store.last_offer(unit, gig.id, worker_id):
        figures = {reason.code: int(reason.value) for reason in offer.reasons}
        facts = {"distance_m": figures["distance-m"], "score": figures["score"], "most": SCALE}
        because = [Because("offered", facts)]
        return Why("offered", offer.made_at, offer.weights, offer.window, figures["score"], because)
    windows = await store.windows_of(unit, gig.id, limit=LOOKED_AT)
    if kept := await asyncio.to_thread(_by_the_last_of_both, windows, gig.id, worker_id, zone):
        return kept
    rules = await store.RULES.of(unit, gig.district)
    seats = await store.seats_open_in(unit, gig.district)
    offers = await store.offers_open(unit, gig.district, seats)
    seen = await snapshot.read(unit, gig.district, rules, seed=0, seats=seats, offers=offers)
    if seen is None or gig.id not in seen.gigs.ids or worker_id not in seen.people.ids:
        return Why("not-there", unit.now, rules.name, None, None, [Because("not-there", {})])
    now = record.of(seen, record.packed(seen), gig.district, rules, 0, unit.now)
    return await asyncio.to_thread(_by, now, gig.id, worker_id, zone, kept=False)


def _by_the_last_of_both(windows: Sequence[Window], gig_id: str, worker_id: str, zone: ZoneInfo) -> Why | None:
    """The answer from the newest window that the person was in; a large one takes a second of processor time."""
    for window in windows:
        if worker_id in record.unpacked(window.inputs).people.ids:
            return _by(window, gig_id, worker_id, zone, kept=True)
    return None


def _by(window: Window, gig_id: str, worker_id: str, zone: ZoneInfo, *, kept: bool) -> Why:
    seen, offers = record.again(window)
    gig, person = (
        int(np.flatnonzero(ids == id)[0]) for ids, id in ((seen.gigs.ids, gig_id), (seen.people.ids, worker_id))
    )
    judged = engine.judge(*seen, gig, person, window.rules)
    made = offers.score[offers.gig == gig]
    if judged.barred:
        outcome: Outcome = "not-eligible"
        facts = _facts(seen, gig, person, judged.distance_m, window, zone)
        because = [each for rule in judged.barred for each in facts[rule]]
    elif made.size:
        outcome = "others-first"
        told = {
            "offers": made.size,
            "least": int(made.min()),
            "score": judged.score,
            "most": SCALE,
            "seed": window.seed,
        }
        because = [Because("others-first", told)]
    else:
        outcome, because = "others-first", [Because("all-elsewhere", {})]
    return Why(outcome, window.at, window.rules.name, window.id if kept else None, judged.score, because)


def _facts(
    seen: Inputs, gig: int, person: int, distance_m: int, window: Window, zone: ZoneInfo
) -> dict[str, list[Because]]:
    """What there is to say of every hard rule of the engine for one pair."""
    gigs, people, caps = seen.gigs, seen.people, seen.caps
    circle_m = int(engine.circle_m(gigs, people, window.rules)[person])
    way = {
        "lead_minutes": max(0, int(gigs.lead_s[gig]) // 60),
        "way_minutes": -(-distance_m // window.rules.travel_m_per_minute),
    }
    pay = {"pay_yuan": _yuan(gigs.pay[gig]), "floor_yuan": _yuan(people.floor[person])}
    missing = ", ".join(_named(window.codes, gigs.needs[gig] & ~people.has[person]))
    tags = _named(window.tags, gigs.tags[gig] & people.refuses[person])
    wishes = ", ".join(tag for tag in tags if tag != ADULTS)
    takes = dict(zip(caps.cap[caps.gig == gig].tolist(), caps.takes[caps.gig == gig].tolist(), strict=True))
    return {
        "reach": [Because("reach", {"distance_m": distance_m, "reach_m": int(people.reach_m[person])})],
        "circle": [Because("circle", {"distance_m": distance_m, "circle_m": circle_m})],
        "way": [Because("way", way)],
        "pay": [Because("pay", pay)],
        "tags": [Because("age", {})] * (ADULTS in tags) + [Because("wishes", {"tags": wishes})] * bool(wishes),
        "skills": [Because("skills", {"missing": missing})],
        "busy": _busy(seen, gig, person, zone)[:1],
        "hours": [
            Because("hours", {"takes": takes[int(caps.used_cap[row])], "left": int(caps.left[row])})
            for row in engine.short_of(caps, gig, person)[:1]
        ],
        "refused": [Because("refused", {})],
    }


def _named(names: list[str], bits: Bits) -> list[str]:
    return [name for bit, name in enumerate(names) if int(bits[bit // WORD]) >> bit % WORD & 1]


def _busy(seen: Inputs, gig: int, person: int, zone: ZoneInfo) -> list[Because]:
    """Each period that a person has promised too near to a gig's, or at which they are not there."""
    found = []
    for row in np.flatnonzero(engine.clashing(seen.gigs, seen.busy, gig) & (seen.busy.person == person)):
        start, end = seen.busy.start[row], seen.busy.end[row]
        overlaps = start < seen.gigs.end[gig] and seen.gigs.start[gig] < end
        code = "calendar" if not seen.busy.day[row] else "overlap" if overlaps else "rest"
        found.append(Because(code, {"start": _local(start, zone), "end": _local(end, zone)}))
    return found


def _yuan(fen: np.int64) -> str:
    return f"{int(fen) // 100}.{int(fen) % 100:02}"


def _local(ms: np.int64, zone: ZoneInfo) -> str:
    return (EPOCH + timedelta(milliseconds=int(ms))).astimezone(zone).strftime("%Y-%m-%d %H:%M")
