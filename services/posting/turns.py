"""Agencies take turns: what each of them offers waits in a line of its own, so that nobody waits behind a flood.

    agencies.gig ─► line_up (a line for each agency) ─► take_turn (a few of one line) ─► posting.feed

Reading an offer costs little; screening and posting it is what takes time, and is done in turns. A turn is a timer that
is due at once: an agency with more in its line sets it again, and so stands behind all others that have theirs.
"""

import re

from services.posting import intake, store
from services.posting.store import Agency, Line, Offered, Served, Waiting, offered_id, waiting_id
from shared.contracts.agencies import GigOffered
from shared.contracts.posting import FeedAnswered, FeedFault
from shared.problems import Fault, Problem, Text
from shared.rules import COUNTRY
from shared.unit import Document, Unit

TURN = "feed-turn"
POSTS_OF_A_TURN = 25
"""Of one agency, in one unit."""

FULL = Text(
    "{most} posts of this agency wait already. Send this one again once others are answered.",
    "该机构已有 {most} 个岗位排队等待处理，请在收到处理结果后重新发送。",
)


def needed(event: GigOffered) -> tuple[tuple[type[Document], str], ...]:
    return tuple((kind, event.agency_id) for kind in (Agency, Line, Served))


async def line_up(unit: Unit, event: GigOffered) -> None:
    """Let an offer wait for its agency's turn, or answer at once that it cannot."""
    try:
        agency = await intake.registered(unit, event.agency_id)
        most = (await store.RULES.of(unit, COUNTRY)).max_offers_waiting
        line = await unit.get(Line, agency.id) or Line(id=agency.id)
        served = await unit.get(Served, agency.id)
        if line.last - (served.number if served else 0) >= most:
            raise Problem(429, "feed-full", FULL, most=most)
    except Problem as problem:
        unit.publish(_refusal(event.agency_id, event.origin_id, problem))
        return
    line.last += 1
    unit.save(
        Waiting(
            id=waiting_id(agency.id, line.last),
            agency_id=agency.id,
            number=line.last,
            origin_id=event.origin_id,
            post=event.post,
        )
    )
    if line.empty:
        line.empty = False
        unit.set_timer(TURN, agency.id, unit.now)
    unit.save(line)


async def take_turn(unit: Unit, agency_id: str) -> None:
    """Answer the first few of an agency's line; the rest when it is the agency's turn again."""
    few = await store.first_waiting(unit, agency_id, POSTS_OF_A_TURN + 1)
    more = few[POSTS_OF_A_TURN:]
    await unit.load(Offered, [offered_id(agency_id, waiting.origin_id) for waiting in few])
    for waiting in few[:POSTS_OF_A_TURN]:
        unit.publish(await _answer(unit, waiting))
        unit.delete(waiting)
    if more:
        unit.set_timer(TURN, agency_id, unit.now)
    else:  # whoever lines up at this moment collides with it, and sees that a turn is to be set
        line = await unit.get(Line, agency_id) or Line(id=agency_id)
        line.empty = True
        unit.save(line)
    if few:
        served = await unit.get(Served, agency_id) or Served(id=agency_id)
        served.number = few[:POSTS_OF_A_TURN][-1].number
        unit.save(served)


async def _answer(unit: Unit, waiting: Waiting) -> FeedAnswered:
    """As a row of a file; what is wrong with it is answered, and is no dead letter of ours."""
    try:
        agency = await intake.registered(unit, waiting.agency_id)
        taken = await intake.take(unit, agency.id, agency, waiting.post | {"origin_id": waiting.origin_id})
    except Problem as problem:
        return _refusal(waiting.agency_id, waiting.origin_id, problem)
    id = offered_id(waiting.agency_id, waiting.origin_id)
    known = {"offered_id": id, "agency_id": waiting.agency_id, "origin_id": waiting.origin_id}
    return FeedAnswered(**known, **taken._asdict())


def _refusal(agency_id: str, origin_id: str, problem: Problem) -> FeedAnswered:
    faults = problem.faults or (Fault("post", problem.text),)
    return FeedAnswered(
        offered_id=offered_id(agency_id, origin_id),
        agency_id=agency_id,
        origin_id=origin_id,
        outcome="refused",
        code=problem.code,
        faults=tuple(_said(fault, problem) for fault in faults),
    )


def _said(fault: Fault, problem: Problem) -> FeedFault:
    """A fault without anything that was sent: an event may go to everybody."""
    text = fault.public or fault.text
    field = fault.field if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", fault.field) else "post"
    return FeedFault(field=field, zh=text.say("zh", problem.facts), en=text.say("en", problem.facts))
