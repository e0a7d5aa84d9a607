"""Alerts to those near a place, and notices to a station's group: each person once, at any hour."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import h3
import pytest

from services.notify import broadcast, handlers
from services.notify.handlers import react
from services.notify.sender import Sender
from services.notify.store import Alert, Delivery, Member, Message, Presence
from shared.contracts.notify import AlertRaised, AlertWithdrawn, NoticePosted
from shared.contracts.posting import GigPosted
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut
from shared.testing import Harness
from tests.service.notify.sink import Sink
from tests.service.notify.story import WORKER, messages, reach, said, send

DISTRICT = "430102"
STATION = f"{DISTRICT}-mawangdui"
LAT, LON = 28.205, 113.040
TEXT = {
    "zh": "附近有人冒充用工方收取押金，请勿付款。",
    "en": "Somebody nearby poses as an employer and asks for a deposit.",
}

f45 = pytest.mark.feature("F45")
f8 = pytest.mark.feature("F8")


def cell(north_m: float = 0.0) -> str:
    """The cell so far north of the place."""
    return str(h3.latlng_to_cell(LAT + north_m / 111_195, LON, 9))


def check_in(notify: Harness, worker: str, where: str, districts: tuple[str, ...] = (DISTRICT,)) -> list[Any]:
    now = notify.clock.now
    return [
        said(
            WorkerCheckedIn,
            presence_id=f"checkin-{worker}:{district}",
            checkin_id=f"checkin-{worker}",
            worker_id=worker,
            district=district,
            cell=where,
            at=now,
            until=now + timedelta(hours=8),
        )
        for district in districts
    ]


def check_out(worker: str) -> WorkerCheckedOut:
    return said(
        WorkerCheckedOut, presence_id=f"checkin-{worker}:{DISTRICT}", checkin_id=f"checkin-{worker}", worker_id=worker
    )


async def warn(notify: Harness, **changes: Any) -> Any:
    form = {"kind": "fraud", "district": DISTRICT, "lat": LAT, "lon": LON, "radius_m": 2_000, **TEXT}
    form["until"] = (notify.clock.now + timedelta(hours=2)).isoformat()
    headers = notify.as_("clerk", "clerk", districts=["4301"])
    return await notify.http.post("/alerts", json=form | changes, headers=headers)


async def warned(notify: Harness, kind: str = "alert-raised") -> list[str]:
    return sorted(message.person_id for message in await notify.all(Message) if message.kind == kind)


@f45
async def test_an_alert_reaches_those_within_its_radius_once(notify: Harness, sender: Sender, sink: Sink) -> None:
    notify.clock.now = datetime.fromisoformat("2026-11-23T23:00:00+08:00")
    await reach(notify, "near", language="en")
    await notify.receives(*check_in(notify, "near", cell(), (DISTRICT, "430103")))
    await notify.receives(*check_in(notify, "inside", cell(1_500)), *check_in(notify, "outside", cell(2_600)))
    await notify.receives(*check_in(notify, "gone", cell()), check_out("gone"))
    answer = await warn(notify)
    assert answer.status_code == 201, answer.text
    await notify.later(seconds=5)
    assert await warned(notify) == ["inside", "near"]
    assert await send(sender) == 1
    [body] = sink.asked
    assert body["text"] == f"Fraud alert: {TEXT['en']} (until 24 Nov 01:00)"
    await notify.later(minutes=5)
    assert await warned(notify) == ["inside", "near"]
    assert await send(sender) == 0
    [told] = await messages(notify, "near", accept_language="en")
    assert told["refs"] == {"alert_id": answer.json()["alert_id"]}


@f45
async def test_whoever_comes_near_while_it_lasts_is_told_too(notify: Harness) -> None:
    await warn(notify)
    await notify.later(minutes=10)
    await notify.receives(*check_in(notify, "later", cell(), (DISTRICT, "430103")))
    await notify.receives(*check_in(notify, "far", cell(5_000)))
    assert await warned(notify) == ["later"]
    await notify.later(hours=2)
    await notify.receives(*check_in(notify, "too-late", cell()))
    assert await warned(notify) == ["later"]


@f45
async def test_a_check_in_that_the_first_look_did_not_see_is_seen_by_the_second(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its unit read the alerts before there was one, and is committed after those near it were told."""

    async def none_yet(unit: Any) -> list[Any]:
        return []

    await warn(notify)
    await notify.later(seconds=1)
    monkeypatch.setattr(handlers, "alerts_on", none_yet)
    await notify.receives(*check_in(notify, "between", cell()))
    assert await warned(notify) == []
    await notify.later(minutes=1)
    assert await warned(notify) == ["between"]


@f45
async def test_a_town_is_told_in_pages_that_a_restart_does_not_lose(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "AT_ONCE", 3)
    await notify.receives(*(event for n in range(10) for event in check_in(notify, f"worker-{n}", cell())))
    await warn(notify)
    timer = await notify.runtime.store.db["_timers"].find_one({})
    assert timer
    await asyncio.gather(*(notify.runtime.timers.fire_due() for _ in range(3)))  # several processes look
    await notify.later(seconds=1)
    assert await warned(notify) == sorted(f"worker-{n}" for n in range(10))
    for person in ("worker-0", "worker-9"):
        assert [one["sequence"] for one in await messages(notify, person)] == [1]


# --- withdrawn ------------------------------------------------------------------------------------------------------


async def take_back(notify: Harness, alert: str, districts: tuple[str, ...] = ("4301",)) -> Any:
    headers = notify.as_("clerk", "clerk", districts=districts)
    form = {"reason": "核实有误。"}
    return await notify.http.post(f"/alerts/{alert}/withdraw", json=form, headers=headers)


@f45
@pytest.mark.parametrize("stuck", [False, True])
async def test_an_alert_is_in_everybodys_list_before_anybody_has_it_outside(
    notify: Harness, sender: Sender, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    """Nor is anything else sent meanwhile; but for ten seconds at most, whatever keeps the alert."""
    monkeypatch.setattr(broadcast, "AT_ONCE", 1)
    for worker in ("a-first", "b-second"):
        await reach(notify, worker, language="en")
        await notify.receives(*check_in(notify, worker, cell()))
    await warn(notify)
    await notify.runtime.timers.fire_due()
    assert await warned(notify) == ["a-first"]
    assert await send(sender) == 0
    if stuck:
        notify.clock.advance(seconds=9, microseconds=999_999)
        assert await send(sender) == 0
        notify.clock.advance(microseconds=1)
        assert await send(sender) == 1
    else:
        await notify.runtime.timers.fire_due()
        assert await send(sender) == 0
        await notify.runtime.timers.fire_due()
        assert await warned(notify) == ["a-first", "b-second"]
        assert await send(sender) == 2


@f45
async def test_a_withdrawn_alert_is_taken_back_from_whom_it_had_reached(
    notify: Harness, sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has the SMS already, one's is still on its way, one is on a page that is not yet told."""
    monkeypatch.setattr(broadcast, "AT_ONCE", 2)
    for worker in ("a-has-it", "b-waits", "c-next-page"):
        await reach(notify, worker, language="en")
        await notify.receives(*check_in(notify, worker, cell()))
    alert = (await warn(notify)).json()["alert_id"]
    await notify.runtime.timers.fire_due()
    assert await warned(notify) == ["a-has-it", "b-waits"]
    unit = notify.runtime.store.db["deliveries"]
    await unit.update_one({"person_id": "b-waits"}, {"$set": {"due_at": notify.clock.now + timedelta(minutes=1)}})
    notify.clock.advance(seconds=10)
    assert await send(sender) == 1
    for _ in range(2):
        answer = await take_back(notify, alert)
        assert answer.status_code == 200, answer.text
        assert answer.json()["withdrawn_at"]
    await notify.later(minutes=2)
    while await send(sender):
        pass
    assert await warned(notify) == ["a-has-it", "b-waits"]
    assert await warned(notify, "alert-withdrawn") == ["a-has-it", "b-waits"]
    assert [body["text"] for body in sink.passed_on.values()] == [
        f"Fraud alert: {TEXT['en']} (until 23 Nov 08:00)",
        f"Fraud alert withdrawn: a clerk took this back, it no longer holds: {TEXT['en']}",
    ]
    await notify.receives(*check_in(notify, "later", cell()))
    assert await warned(notify) == ["a-has-it", "b-waits"]
    assert (await notify.http.get("/alerts")).json() == []
    assert [said.alert_id for said in await notify.published(AlertWithdrawn)] == [alert]
    audited = await notify.runtime.store.db["_audit"].find({"what": "alert withdrawn"}).to_list()
    assert [(row["by"], row["alert_id"], row["reason"]) for row in audited] == [("clerk", alert, "核实有误。")]


@f45
async def test_whom_the_alert_reached_while_it_was_withdrawn_is_told_by_a_second_look(notify: Harness) -> None:
    """A check-in's unit read the alert before it was withdrawn, and is committed after its people were told."""
    alert = (await warn(notify)).json()["alert_id"]
    kept = await notify.get(Alert, alert)
    assert kept
    await take_back(notify, alert)
    await notify.later(seconds=1)
    await notify.runtime.store.transact(lambda unit: broadcast.tell_of_alert(unit, kept, "between"))
    assert await warned(notify, "alert-withdrawn") == []
    await notify.later(minutes=1)
    assert await warned(notify, "alert-withdrawn") == ["between"]


@f45
async def test_who_may_withdraw_an_alert_and_when(notify: Harness) -> None:
    assert (await take_back(notify, "nothing")).status_code == 404
    alert = (await warn(notify)).json()["alert_id"]
    assert (await take_back(notify, alert, ("50",))).status_code == 403
    headers = notify.as_("worker", WORKER)
    asked = await notify.http.post(f"/alerts/{alert}/withdraw", json={"reason": "不对。"}, headers=headers)
    assert asked.status_code == 403
    await notify.later(hours=2)
    answer = await take_back(notify, alert)
    assert (answer.status_code, answer.json()["code"]) == (409, "alert-over")


@f45
async def test_an_alert_is_said_without_its_words_and_read_by_everyone(notify: Harness) -> None:
    made = (await warn(notify)).json()
    [event] = await notify.published(AlertRaised)
    assert event.alert_id == made["alert_id"]
    assert event.cell == cell()
    assert TEXT["zh"] not in event.model_dump_json()
    assert (await notify.http.get("/alerts")).json() == [made]
    notify.clock.advance(hours=2)
    assert (await notify.http.get("/alerts")).json() == []


@f45
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "weather"}, "kind"),
        ({"district": "000000"}, "district"),
        ({"radius_m": 50_001}, "radius_m"),
        ({"lat": 91}, "lat"),
        ({"zh": ""}, "zh"),
        ({"until": "2026-11-23T05:00:00+08:00"}, "until"),
        ({"until": "2026-12-23T05:00:00+08:00"}, "until"),
    ],
)
async def test_a_wrong_alert_is_refused_and_nobody_is_told(notify: Harness, change: dict[str, Any], field: str) -> None:
    await notify.receives(*check_in(notify, "near", cell()))
    answer = await warn(notify, **change)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    await notify.later(minutes=2)
    assert await warned(notify) == []


@f45
async def test_an_alert_is_for_a_clerk_of_the_district(notify: Harness) -> None:
    assert (await warn(notify, district="330110")).status_code == 403
    for role in ("worker", "employer"):
        assert (await notify.http.post("/alerts", json={}, headers=notify.as_(role))).status_code == 403


@f45
async def test_where_people_wait_is_forgotten_when_they_no_longer_do(notify: Harness) -> None:
    event = check_in(notify, "near", cell())
    await notify.receives(*event, id="once")
    await notify.receives(*event, id="twice")
    assert len(await notify.all(Presence)) == 1
    await notify.receives(check_out("near"))
    assert await notify.all(Presence) == []
    assert WorkerCheckedIn.type in react.events


# --- groups ----------------------------------------------------------------------------------------------------------


async def join(notify: Harness, person: str, station: str = STATION) -> int:
    path = f"/groups/{station}/membership"
    return (await notify.http.put(path, headers=notify.as_("worker", person))).status_code


async def post(notify: Harness, districts: tuple[str, ...] = ("4301",), **changes: Any) -> Any:
    form = {**TEXT, "until": (notify.clock.now + timedelta(hours=2)).isoformat()} | changes
    headers = notify.as_("clerk", "clerk", districts=districts)
    return await notify.http.post(f"/groups/{STATION}/notices", json=form, headers=headers)


@f8
async def test_a_station_tells_its_group_of_an_urgent_gig_once_each(
    notify: Harness, sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "AT_ONCE", 2)
    notify.clock.now = datetime.fromisoformat("2026-11-23T23:00:00+08:00")
    await notify.receives(said(GigPosted))
    people = [WORKER, "worker-2", "worker-3"]
    for person in people:
        assert await join(notify, person) == 204
    assert await join(notify, WORKER) == 204
    assert await join(notify, "elsewhere", f"{DISTRICT}-huoxing") == 204
    await reach(notify)
    answer = await post(notify, gig_id=said(GigPosted).gig_id)
    assert answer.status_code == 201, answer.text
    await notify.later(seconds=1)
    assert await warned(notify, "notice-posted") == sorted(people)
    assert await send(sender) == 1
    assert sink.asked[0]["text"] == f"【驿站通知】{TEXT['zh']}"
    await notify.later(hours=1)
    assert await send(sender) == 0
    [told] = await messages(notify, accept_language="zh")
    assert told["refs"] == {"notice_id": answer.json()["notice_id"], "gig_id": said(GigPosted).gig_id}
    [event] = await notify.published(NoticePosted)
    assert TEXT["zh"] not in event.model_dump_json()


@f8
async def test_whoever_left_a_group_hears_no_more(notify: Harness) -> None:
    headers = notify.as_("worker", WORKER)
    await join(notify, WORKER)
    assert (await notify.http.get("/groups", headers=headers)).json() == [STATION]
    for _ in range(2):
        answer = await notify.http.delete(f"/groups/{STATION}/membership", headers=headers)
        assert answer.status_code == 204
    await post(notify)
    await notify.later(seconds=1)
    assert await notify.all(Message) == []
    assert await notify.all(Delivery) == []
    assert (await notify.http.get("/groups", headers=headers)).json() == []


@f8
async def test_nobody_is_in_groups_without_end(notify: Harness) -> None:
    for n in range(20):
        assert await join(notify, WORKER, f"{DISTRICT}-{n}") == 204
    assert await join(notify, WORKER, f"{DISTRICT}-20") == 409
    assert await join(notify, WORKER, f"{DISTRICT}-1") == 204
    assert len(await notify.all(Member)) == 20


@f8
async def test_a_notice_is_for_a_clerk_of_the_station(notify: Harness) -> None:
    assert (await post(notify, districts=("330110",))).status_code == 403
    assert (await post(notify, gig_id="no-such-gig")).status_code == 404
    assert (await post(notify, until="2026-11-20T06:00:00Z")).status_code == 422
    assert await notify.published() == []
