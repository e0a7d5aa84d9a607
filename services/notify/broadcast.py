"""What many are told at once: an alert near a place, a notice to a group, an article to all groups; each person once.

It goes out in pages by a durable timer, since a unit for a whole town would be too large. A second look a while later
finds those whose check-in was being handled while the first one read.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import h3

from services.notify.domain import ORDER, about, metres
from services.notify.store import (
    Alert,
    Delivery,
    Message,
    Notice,
    members_of,
    people_in_groups,
    people_near,
    people_told,
)
from services.notify.telling import NEEDED, call_back, tell
from services.notify.texts import Fact
from shared.contracts import Event
from shared.contracts.notify import AlertRaised, AlertWithdrawn, NoticePosted
from shared.contracts.rights import ArticlePublished
from shared.unit import Timer, Unit

AT_ONCE = 500
"""People of a page: a message, a mailbox and perhaps a delivery each, in one transaction. Smaller pages take turns with
the sender more often: with 300, 10,000 people take 12 s, with 500 they take 7 s."""

CELL_RESOLUTION = 9
LOOK_AGAIN_AFTER = timedelta(minutes=1)
"""MongoDB ends a transaction after a minute: whatever was under way at the first look can be seen at the second."""


def raise_alert(unit: Unit, alert: Alert) -> None:
    """Keep an alert, say it, and have those near it told."""
    unit.save(alert)
    unit.publish(_said_alert(alert))
    unit.set_timer("alert", alert.id, unit.now)


def post_notice(unit: Unit, notice: Notice) -> None:
    """Keep a notice, say it, and have the group told."""
    unit.save(notice)
    unit.publish(_said_notice(notice))
    unit.set_timer("notice", notice.id, unit.now)


async def spread_alert(unit: Unit, timer: Timer) -> None:
    """Tell the next page of those near an alert that lasts; after the last page, once more a while later."""
    alert = await unit.get(Alert, timer.subject)
    if alert is None or not alert.lasts(unit.now):
        return
    people = await people_near(unit, alert, timer.data.get("after", ""), AT_ONCE)
    await _tell_all(unit, _said_alert(alert), people, alert_facts(alert), until=alert.until)
    _go_on(unit, timer, people)


def _go_on(unit: Unit, timer: Timer, people: Sequence[str]) -> None:
    """The next page; after the last one all once more, a while later."""
    again = timer.data.get("again", False)
    if len(people) == AT_ONCE:
        unit.set_timer(timer.name, timer.subject, unit.now, after=people[-1], again=again)
    elif not again:
        unit.set_timer(timer.name, timer.subject, unit.now + LOOK_AGAIN_AFTER, again=True)


def withdraw_alert(unit: Unit, alert: Alert) -> None:
    """Take an alert back, say it, and have those told of it who had been told of the alert."""
    alert.withdrawn_at = unit.now
    unit.save(alert)
    unit.publish(_said_withdrawal(alert))
    unit.set_timer("alert-withdrawal", alert.id, unit.now)


async def spread_withdrawal(unit: Unit, timer: Timer) -> None:
    """Tell the next page of those who had been told of an alert that it is withdrawn.

    Outside only whom the alert had reached there: where it was still on its way, it stays.
    """
    alert = await unit.get(Alert, timer.subject)
    if alert is None or alert.withdrawn_at is None:
        return
    people = await people_told(unit, alert, timer.data.get("after", ""), AT_ONCE)
    event, warning = _said_withdrawal(alert), about(_said_alert(alert))
    await unit.load(Delivery, [f"{warning}:{person}:{way}" for person in people for way in ORDER])
    await _load(unit, event, people)
    for person in people:
        reached = await call_back(unit, f"{warning}:{person}")
        await tell(unit, event, "worker", {"kind": alert.kind}, person=person, context=warning, outside=reached)
    _go_on(unit, timer, people)


async def spread_notice(unit: Unit, timer: Timer) -> None:
    """Tell the next page of a station's group."""
    notice = await unit.get(Notice, timer.subject)
    if notice is None or notice.until <= unit.now:
        return
    people = await members_of(unit, notice.station_id, timer.data.get("after", ""), AT_ONCE)
    facts: dict[str, Fact] = {"text_zh": notice.zh, "text_en": notice.en}
    await _tell_all(unit, _said_notice(notice), people, facts, until=notice.until)
    if len(people) == AT_ONCE:
        unit.set_timer(timer.name, notice.id, unit.now, after=people[-1])


def announce_article(unit: Unit, article: ArticlePublished) -> None:
    """Have every station's group told of a new version of an article."""
    unit.set_timer("article", f"{article.article_id}:{article.number}", unit.now, said=article.model_dump(mode="json"))


async def spread_article(unit: Unit, timer: Timer) -> None:
    """Tell the next page of those in a group, who hear of it once, in however many groups they are."""
    article = ArticlePublished.model_validate(timer.data["said"])
    people = await people_in_groups(unit, timer.data.get("after", ""), AT_ONCE)
    facts: dict[str, Fact] = {"text_zh": article.title_zh, "text_en": article.title_en}
    await _tell_all(unit, article, people, facts, turn=f":{article.number}")
    if len(people) == AT_ONCE:
        unit.set_timer(timer.name, timer.subject, unit.now, said=timer.data["said"], after=people[-1])


async def tell_of_alert(unit: Unit, alert: Alert, person: str) -> None:
    """One person who has come near an alert that lasts."""
    await tell(unit, _said_alert(alert), "worker", alert_facts(alert), person=person, until=alert.until)


async def _tell_all(
    unit: Unit,
    event: Event,
    people: Sequence[str],
    facts: dict[str, Fact],
    *,
    turn: str = "",
    until: datetime | None = None,
) -> None:
    await _load(unit, event, people, turn)
    for person in people:
        await tell(unit, event, "worker", facts, person=person, turn=turn, until=until)


async def _load(unit: Unit, event: Event, people: Sequence[str], turn: str = "") -> None:
    """What telling all of them needs."""
    await unit.load(Message, [f"{about(event)}{turn}:{person}" for person in people])
    for kind in NEEDED:
        await unit.load(kind, people)


def alert_facts(alert: Alert) -> dict[str, Fact]:
    return {"kind": alert.kind, "text_zh": alert.zh, "text_en": alert.en, "until": alert.until}


def near(alert: Alert, cell: str) -> bool:
    """Whether the middle of a cell lies within an alert's radius."""
    return metres((alert.lat, alert.lon), h3.cell_to_latlng(cell)) <= alert.radius_m


def _said_alert(alert: Alert) -> AlertRaised:
    return AlertRaised(
        alert_id=alert.id,
        kind=alert.kind,
        district=alert.district,
        cell=h3.latlng_to_cell(alert.lat, alert.lon, CELL_RESOLUTION),
        radius_m=alert.radius_m,
        at=alert.at,
        until=alert.until,
    )


def _said_withdrawal(alert: Alert) -> AlertWithdrawn:
    at = alert.withdrawn_at or alert.until
    return AlertWithdrawn(alert_id=alert.id, kind=alert.kind, district=alert.district, at=at)


def _said_notice(notice: Notice) -> NoticePosted:
    return NoticePosted(
        notice_id=notice.id,
        station_id=notice.station_id,
        district=notice.district,
        gig_id=notice.gig_id,
        at=notice.at,
        until=notice.until,
    )
