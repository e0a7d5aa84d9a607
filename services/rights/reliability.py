"""The ledger of reliability: what a fact gives or takes, what follows from few points, and what is taken back.

A score is reckoned from the ledger alone (`domain.score`). What is given needs nothing but its entry, so that a crowd
at one employer does not queue; what is taken, and taken back, meets at the person's `Standing`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.rights import domain, sanctions
from services.rights.rules import Reliability, Rule, Side
from services.rights.store import (
    RULES,
    Entry,
    Parties,
    Sanction,
    Standing,
    Suspended,
    TakenBack,
    counting,
    standing_id,
)
from shared import clock
from shared.contracts import Event
from shared.contracts.rights import ReliabilityChanged
from shared.problems import Text
from shared.unit import Unit

WHAT: dict[Rule, Text] = {
    "worked": Text("A shift was worked and its minutes stand.", "完成一个班次且工时已确认。"),
    "unattended": Text(
        "It was not said before the shift that you will come, though you were asked.",
        "班次前收到到岗确认请求，未按时确认。",
    ),
    "no-show": Text("The shift was not started in time (no-show).", "未在规定时间内到岗开工（爽约）。"),
    "paid-on-time": Text("The pay of a shift has arrived, and was not late.", "班次报酬已按时到账。"),
    "no-confirmation": Text(
        "Workers who accepted a gig waited for your confirmation, which did not come in time.",
        "劳动者接单后等待确认，未在期限内答复。",
    ),
    "late-pay": Text("Pay was due and had not been paid.", "报酬到期未支付。"),
    "arrears": Text("Pay was still owed when its arrears case opened.", "报酬逾期未付，已立欠薪案件。"),
    "late-cancellation": Text("A placement was cancelled at short notice.", "临近开工取消用工。"),
}
TAKEN_BACK: dict[TakenBack, Text] = {
    "excuse": Text("Taken back: the excuse was accepted.", "已撤销：取消理由成立。"),
    "appeal": Text("Taken back: the appeal was upheld.", "已撤销：申诉成立。"),
    "unfounded": Text("Taken back: nothing had been owed.", "已撤销：经查不存在欠付。"),
}


class Party(NamedTuple):
    """Whose points, and in which district what changes them happened."""

    side: Side
    id: str
    district: str

    @classmethod
    def of(cls, side: Side, parties: Parties) -> "Party":
        return cls(side, parties.worker_id if side == "worker" else parties.employer_id, parties.district)

    @property
    def standing(self) -> str:
        return standing_id(self.side, self.id)


def entry_id(side: Side, rule: Rule, about_id: str) -> str:
    return f"{about_id}.{side}.{rule}"


def back_id(id: str) -> str:
    """The id of the entry that takes another back."""
    return f"{id}.taken-back"


async def note(unit: Unit, party: Party, rule: Rule, about_id: str, cause: type[Event]) -> None:
    """Write down what a fact gives or takes by the rules of its district, once. Few points suspend their person.

    Nothing is written where the rules give the fact no points.
    """
    id = entry_id(party.side, rule, about_id)
    if await unit.get(Entry, id):
        return
    rules = await RULES.of(unit, party.district)
    figures = rules.reliability
    points = figures.of(party.side).points[rule]
    if not points:
        return
    entry = Entry(
        id=id,
        standing=party.standing,
        party=party.side,
        party_id=party.id,
        district=party.district,
        sort="given" if points > 0 else "taken",
        rule=rule,
        rules=rules.name,
        cause=cause.type,
        about_id=about_id,
        points=points,
        half_days=figures.half_days,
        counts_until=domain.counts_until(points, figures.half_days, unit.now),
        appeal_until=unit.now + timedelta(days=figures.appeal_days),
        score=0,
        at=unit.now,
        order=clock.new_id(),
    )
    _enter(unit, entry, [*await counting(unit, party.standing, figures), entry], figures)
    if points < 0:
        await _suspend(unit, party, entry.score, figures)


async def take_back(unit: Unit, id: str, because: TakenBack) -> None:
    """Undo an entry by another of the opposite points, once; what no longer follows from the score ends.

    Nothing happens where there is no such entry.
    """
    entry = await unit.get(Entry, id)
    if entry is None or await unit.get(Entry, back_id(id)):
        return
    figures = (await RULES.of(unit, entry.district)).reliability
    own = {"points": -entry.points, "sort": "taken-back", "takes_back_id": id, "because": because, "version": 0}
    made = entry.model_copy(update=own | {"id": back_id(id), "at": unit.now, "order": clock.new_id()})
    _enter(unit, made, await counting(unit, entry.standing, figures, without=id), figures)
    standing = await _standing(unit, entry.standing)
    for each, sanction in await _in_force(unit, standing):
        if made.score >= each.below:
            sanctions.lift(unit, sanction, "corrected")
    unit.save(standing)


def _enter(unit: Unit, entry: Entry, counted: Sequence[Entry], figures: Reliability) -> None:
    entry.score = domain.score(counted, figures, unit.now)
    unit.save(entry)
    facts = entry.model_dump(include=set(ReliabilityChanged.model_fields) - {"entry_id"})
    unit.publish(ReliabilityChanged(entry_id=entry.id, **facts))


async def _suspend(unit: Unit, party: Party, score: int, figures: Reliability) -> None:
    """Begin what the score leads to, unless it has led to as much and that is in force."""
    standing = await _standing(unit, party.standing)
    standing.suspended = [each for each, _ in await _in_force(unit, standing)]
    due = figures.of(party.side).suspension(score)
    if due and all(due.below < each.below for each in standing.suspended):
        made = sanctions.impose(
            unit,
            party.side,
            party.id,
            party.district,
            "block",
            "reliability",
            until=unit.now + timedelta(days=due.days),
            case_id=None,
            by="market",
        )
        standing.suspended.append(Suspended(sanction_id=made.id, below=due.below))
    unit.save(standing)


async def suspended_until(unit: Unit, standing: str) -> datetime | None:
    """When the last suspension that points led to ends; None without one in force."""
    found = await _in_force(unit, await _standing(unit, standing))
    return max((sanction.until for _, sanction in found if sanction.until), default=None)


async def _in_force(unit: Unit, standing: Standing) -> list[tuple[Suspended, Sanction]]:
    await unit.load(Sanction, [each.sanction_id for each in standing.suspended])
    found = [(each, await unit.get(Sanction, each.sanction_id)) for each in standing.suspended]
    return [(each, sanction) for each, sanction in found if sanction and sanction.in_force(unit.now)]


async def _standing(unit: Unit, id: str) -> Standing:
    return await unit.get(Standing, id) or Standing(id=id, party_id=id.partition(":")[2])
