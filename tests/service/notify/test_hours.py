"""When a message goes outside: quiet hours, a day's most, and what is gathered for a day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.notify.sender import Sender
from services.notify.store import Delivery
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.notify import DeliveryMade
from shared.contracts.rights import PayDue
from shared.testing import Harness
from tests.service.notify.sink import Sink
from tests.service.notify.story import WORKER, messages, prefer, reach, said, send

pytestmark = pytest.mark.feature("F8")


def at(notify: Harness, hour: str) -> None:
    """It is this hour in Changsha."""
    notify.clock.now = datetime.fromisoformat(f"2026-11-23T{hour}:00+08:00")


def pay(n: int) -> PayDue:
    return said(PayDue, placement_id=f"placement-{n}")


async def set_rules(notify: Harness, replaces: int = 0, **changes: Any) -> None:
    form = {"changes": changes, "replaces": replaces, "reason": "a test"}
    answer = await notify.http.put("/rules/country", json=form, headers=notify.as_("operator", "operator"))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("hour", "due"),
    [
        ("21:59", "2026-11-23T21:59"),
        ("22:00", "2026-11-24T06:00"),
        ("05:59", "2026-11-23T06:00"),
        ("06:00", "2026-11-23T06:00"),
    ],
)
async def test_what_can_wait_waits_for_the_morning(
    notify: Harness, sender: Sender, sink: Sink, hour: str, due: str
) -> None:
    at(notify, hour)
    await reach(notify)
    await notify.receives(pay(1))
    [delivery] = await notify.all(Delivery)
    assert delivery.due_at == datetime.fromisoformat(f"{due}:00+08:00").astimezone(UTC)
    notify.clock.now = delivery.due_at - timedelta(seconds=1)
    if due[11:] != hour:
        assert await send(sender) == 0
    notify.clock.now = delivery.due_at
    assert await send(sender) == 1
    assert len(sink.passed_on) == 1
    assert len(await messages(notify)) == 1


async def test_what_is_urgent_goes_out_at_night(notify: Harness, sender: Sender, sink: Sink) -> None:
    at(notify, "23:30")
    await reach(notify)
    until = notify.clock.now + timedelta(minutes=5)
    await notify.receives(said(OfferMade, expires_at=until), said(PlacementMade), pay(1))
    assert await send(sender) == 2
    assert sorted(key.split(":")[0] for key in sink.passed_on) == ["offer-made", "placement-made"]


async def test_a_persons_own_quiet_hours_stand_for_the_rules(notify: Harness, sender: Sender) -> None:
    await reach(notify)
    await prefer(notify, quiet_from="12:00", quiet_until="14:00")
    at(notify, "12:30")
    await notify.receives(pay(1))
    assert await send(sender) == 0
    at(notify, "14:00")
    assert await send(sender) == 1
    at(notify, "23:00")
    await notify.receives(pay(2))
    assert await send(sender) == 1
    await prefer(notify, quiet_from="00:00", quiet_until="00:00")
    at(notify, "12:30")
    await notify.receives(pay(3))
    assert await send(sender) == 1


async def test_an_operator_sets_the_regions_hours(notify: Harness, sender: Sender) -> None:
    await reach(notify)
    await set_rules(notify, quiet_from="00:00", quiet_until="00:00")
    at(notify, "23:00")
    await notify.receives(pay(1))
    assert await send(sender) == 1


async def test_beyond_a_days_most_only_what_is_urgent_goes_out(notify: Harness, sender: Sender, sink: Sink) -> None:
    at(notify, "09:00")
    await set_rules(notify, most_a_day=3)
    await reach(notify)
    await notify.receives(said(PlacementMade))
    await notify.receives(*(pay(n) for n in range(5)), id=None)
    await notify.receives(said(OfferMade, expires_at=notify.clock.now + timedelta(minutes=5)))
    while await send(sender):
        pass
    assert sorted(key.split(":")[0] for key in sink.passed_on) == ["offer-made", "pay-due", "pay-due", "placement-made"]
    assert len(await messages(notify)) == 7
    notify.clock.advance(days=1)
    await notify.receives(pay(9))
    assert await send(sender) == 1


async def test_a_channel_that_falls_back_at_night_waits_for_the_morning(
    notify: Harness, every: Sender, sink: Sink
) -> None:
    """What is urgent does not."""
    at(notify, "21:59")
    await reach(notify)
    await reach(notify, channel="voice")
    await notify.receives(said(PlacementMade), pay(1))
    sink.turns += [400, 400]
    assert await send(every) == 2
    at(notify, "22:00")
    assert await send(every) == 1
    assert [key.split(":")[0] for key in sink.passed_on] == ["placement-made"]
    notify.clock.now = datetime.fromisoformat("2026-11-24T05:59:59+08:00")
    assert await send(every) == 0
    notify.clock.now = datetime.fromisoformat("2026-11-24T06:00:00+08:00")
    assert await send(every) == 1
    assert [key.split(":")[0] for key in sink.passed_on] == ["placement-made", "pay-due"]


async def test_another_try_at_night_waits_for_the_morning_and_is_worth_it_then(
    notify: Harness, sender: Sender, sink: Sink
) -> None:
    at(notify, "21:59")
    await reach(notify)
    await notify.receives(pay(1))
    sink.turns.append(503)
    assert await send(sender) == 1
    at(notify, "23:00")
    assert await send(sender) == 0
    notify.clock.now = datetime.fromisoformat("2026-11-24T06:00:00+08:00")
    assert await send(sender) == 1
    assert len(sink.passed_on) == 1


async def test_what_waits_for_the_morning_counts_for_its_day(notify: Harness, sender: Sender, sink: Sink) -> None:
    await set_rules(notify, most_a_day=2)
    await reach(notify)
    at(notify, "21:00")
    await notify.receives(pay(1), pay(2), pay(3))
    assert await send(sender) == 2
    at(notify, "23:00")
    await notify.receives(pay(4), pay(5), pay(6))
    notify.clock.now = datetime.fromisoformat("2026-11-24T11:00:00+08:00")
    await notify.receives(pay(7))
    while await send(sender):
        pass
    assert sorted(key.split(":")[1] for key in sink.passed_on) == [f"placement-{n}" for n in (1, 2, 4, 5)]


async def test_what_a_person_wants_gathered_comes_once_a_day(notify: Harness, sender: Sender, sink: Sink) -> None:
    at(notify, "09:00")
    await reach(notify, language="en")
    await prefer(notify, digest=["pay-due"])
    for n in range(3):
        await notify.receives(pay(n), id=f"m{n}")
        await notify.receives(pay(n), id=f"m{n}")
    assert await send(sender) == 0
    at(notify, "18:00")
    assert await send(sender) == 1
    [body] = sink.asked
    assert body["text"].startswith("3 messages of today: You have earned")
    assert body["text"].count("You have earned") == 3
    [made] = await notify.published(DeliveryMade)
    assert made.about == "digest:2026-11-23"
    await notify.receives(pay(3))
    assert await send(sender) == 0
    notify.clock.advance(days=1)
    assert await send(sender) == 1
    assert list(sink.passed_on) == [f"digest:2026-11-{day}:{WORKER}:sms" for day in (23, 24)]


async def test_a_digest_under_way_takes_no_more(notify: Harness, sender: Sender, sink: Sink) -> None:
    at(notify, "17:59")
    await reach(notify)
    await prefer(notify, digest=["pay-due"])
    await notify.receives(pay(1))
    late = notify.clock.now
    at(notify, "18:00")
    claimed = await sender.claim()
    notify.clock.now = late  # another process, whose clock is behind
    await notify.receives(pay(2))
    at(notify, "18:00")
    await sender.deliver(claimed)
    assert len(sink.passed_on) == 1
    assert sorted(len(each.gathers) for each in await notify.all(Delivery)) == [1, 1]
    notify.clock.advance(days=1)
    assert await send(sender) == 1


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"digest": ["offer-made"]}, "digest"),
        ({"digest": ["nothing"]}, "digest.0"),
        ({"digest": ["gig-filled"]}, "digest.0"),
        ({"order": ["pigeon"]}, "order.0"),
        ({"channels": {"pay-due": ["pigeon"]}}, "channels.pay-due.0"),
        ({"quiet_from": "25:00", "quiet_until": "06:00"}, "quiet_from"),
        ({"fax": 1}, "fax"),
    ],
)
async def test_a_wrong_wish_is_named(notify: Harness, wishes: dict[str, Any], field: str) -> None:
    answer = await notify.http.put("/preferences", json=wishes, headers=notify.as_("worker", WORKER))
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_one_quiet_hour_alone_is_none(notify: Harness) -> None:
    answer = await notify.http.put("/preferences", json={"quiet_from": "22:00"}, headers=notify.as_("worker", WORKER))
    assert answer.status_code == 422
    assert "belong together" in answer.text


async def test_preferences_are_read_as_they_were_set(notify: Harness) -> None:
    headers = notify.as_("worker", WORKER)
    none: dict[str, Any] = {"order": [], "channels": {}, "digest": [], "quiet_from": None, "quiet_until": None}
    assert (await notify.http.get("/preferences", headers=headers)).json() == none
    await prefer(notify, order=["voice", "sms"], digest=["pay-due", "pay-due"])
    read = (await notify.http.get("/preferences", headers=headers)).json()
    assert read == none | {"order": ["voice", "sms"], "digest": ["pay-due"]}
    await prefer(notify)
    assert (await notify.http.get("/preferences", headers=headers)).json() == none
