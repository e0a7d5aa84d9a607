"""The employer answers for the minutes until a deadline; nobody's answer is an approval, once (F18)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.rights.attendance import TIMESHEET, TIMESHEET_REMINDER
from services.rights.handlers import approve_unanswered, remind_of_timesheet
from services.rights.store import Payment, Timesheet
from shared.contracts.rights import (
    PayCorrected,
    PayDue,
    PayOverdue,
    TimesheetApproved,
    TimesheetDisputed,
    TimesheetEscalated,
    TimesheetLapsed,
    TimesheetSettled,
    TimesheetUnanswered,
)
from shared.contracts.terms import PayMode, PayUnit
from shared.testing import Harness
from shared.unit import Timer
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_cancelled, placement_made

pytestmark = pytest.mark.feature("F18")

START = MORNING + timedelta(hours=2)
NIGHT = MORNING + timedelta(hours=16)
CLERK = "clerk-1"
CLAIM = {"minutes": 420, "reason": "came-late"}


async def work(rights: Harness, start: datetime = START, minutes: int = 480, **terms: Any) -> None:
    """One shift of eight hours, paid weekly, worked from its start for so many minutes."""
    await rights.receives(placement_made(start=start, **{"mode": PayMode.weekly, **terms}))
    rights.clock.now = start
    headers = rights.as_("worker", WORKER)
    assert (await rights.http.post("/shifts/placement-1/start", headers=headers)).status_code == 200
    rights.clock.advance(minutes=minutes)
    body = {"pieces": 10} if terms.get("unit") is PayUnit.piece else None
    assert (await rights.http.post("/shifts/placement-1/end", json=body, headers=headers)).status_code == 200


async def post(rights: Harness, what: str, body: Any = None, who: str = "", **language: str) -> httpx.Response:
    headers = {
        "approve": rights.as_("employer", who or EMPLOYER, **language),
        "dispute": rights.as_("employer", who or EMPLOYER, **language),
        "agree": rights.as_("worker", who or WORKER, **language),
        "decide": rights.as_("clerk", CLERK, districts=[who or DISTRICT], **language),
    }[what]
    return await rights.http.post(f"/timesheets/placement-1/{what}", json=body, headers=headers)


async def code(rights: Harness, what: str, body: Any = None, who: str = "") -> tuple[int, str]:
    answer = await post(rights, what, body, who)
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


async def test_unanswered_it_is_approved_at_the_deadline_once(rights: Harness) -> None:
    await work(rights)
    ended = rights.clock.now
    await rights.later(hours=23, minutes=59, seconds=59)
    assert await rights.published(TimesheetApproved) == []
    await rights.later(seconds=1)
    [approved] = await rights.published(TimesheetApproved)
    assert (approved.minutes, approved.by, approved.at) == (480, "deadline", ended + timedelta(hours=24))
    await rights.later(days=3)
    timer = Timer(id=f"{TIMESHEET}:placement-1", name=TIMESHEET, subject="placement-1", due_at=approved.at)
    await rights.runtime.store.transact(lambda unit: approve_unanswered(timer, unit))
    assert len(await rights.published(TimesheetApproved)) == 1
    assert await code(rights, "dispute", CLAIM) == (409, "timesheet-approved")


async def test_the_minutes_are_exact_across_midnight_and_ended_by_the_clock_too(rights: Harness) -> None:
    await rights.receives(placement_made(start=NIGHT))
    rights.clock.now = NIGHT + timedelta(minutes=3, seconds=20)
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    await rights.later(hours=8)
    sheet = (await rights.http.get("/timesheets/placement-1", headers=rights.as_("employer", EMPLOYER))).json()
    assert (sheet["minutes"], sheet["status"]) == (476, "open")
    assert datetime.fromisoformat(sheet["started_at"]) == NIGHT + timedelta(minutes=3, seconds=20)
    assert datetime.fromisoformat(sheet["ended_at"]) == NIGHT + timedelta(hours=8)
    assert datetime.fromisoformat(sheet["answer_by"]) == rights.clock.now + timedelta(hours=24)


async def test_an_approval_is_said_once_and_ends_the_clock(rights: Harness) -> None:
    await work(rights)
    assert await code(rights, "approve") == (200, "approved")
    assert await code(rights, "approve") == (409, "timesheet-approved")
    assert await code(rights, "dispute", CLAIM) == (409, "timesheet-approved")
    assert await code(rights, "agree") == (409, "not-disputed")
    await rights.later(days=3)
    [approved] = await rights.published(TimesheetApproved)
    assert (approved.by, approved.at) == ("employer", START + timedelta(hours=8))
    assert await rights.published(PayCorrected) == []


async def test_an_answer_and_the_deadline_at_once_leave_one_truth(rights: Harness) -> None:
    await work(rights)
    rights.clock.advance(hours=24)
    answer, _ = await asyncio.gather(post(rights, "approve"), rights.runtime.timers.fire_due())
    [approved] = await rights.published(TimesheetApproved)
    assert approved.by == ("employer" if answer.status_code == 200 else "deadline")


async def test_a_dispute_is_possible_until_the_deadline_and_not_at_it(rights: Harness) -> None:
    await work(rights)
    rights.clock.advance(hours=24)  # the timer has not fired yet
    answer = await post(rights, "dispute", CLAIM, accept_language="en")
    assert (answer.status_code, answer.json()["code"]) == (409, "too-late")
    assert "2026-11-24T16:00+08:00" in answer.json()["detail"]
    rights.clock.advance(seconds=-1)
    assert await code(rights, "dispute", CLAIM) == (200, "disputed")


async def test_the_worker_agrees_and_pay_follows(rights: Harness) -> None:
    await work(rights)
    [due] = await rights.published(PayDue)
    assert await code(rights, "dispute", CLAIM | {"note": "八点四十才到"}) == (200, "disputed")
    [disputed] = await rights.published(TimesheetDisputed)
    assert (disputed.minutes, disputed.claimed_minutes, disputed.reason) == (480, 420, "came-late")
    await rights.later(days=2)
    assert await rights.published(TimesheetApproved) == []
    pay = await rights.get(Payment, "placement-1")
    assert pay
    assert pay.amount_fen == due.amount_fen == 16_000
    assert await code(rights, "agree") == (200, "settled")
    assert await code(rights, "agree") == (409, "timesheet-settled")
    [settled] = await rights.published(TimesheetSettled)
    assert (settled.minutes, settled.by) == (420, "worker")
    [corrected] = await rights.published(PayCorrected)
    assert (corrected.amount_fen, corrected.due_at) == (14_000, due.due_at)
    [item] = (await rights.http.get("/pay", headers=rights.as_("worker", WORKER))).json()["items"]
    assert item["amount_fen"] == 14_000
    await rights.later(days=7)
    assert [overdue.amount_fen for overdue in await rights.published(PayOverdue)] == [14_000]


async def test_a_clerk_of_the_district_decides_and_says_why(rights: Harness) -> None:
    await work(rights)
    decision = {"minutes": 465, "grounds": "门禁记录显示 08:15 入场"}
    assert await code(rights, "decide", decision) == (409, "not-disputed")
    await post(rights, "dispute", CLAIM)
    assert await code(rights, "decide", decision, who="430103") == (404, "not-found")
    assert await code(rights, "decide", {"minutes": 465}) == (422, "invalid-fields")
    assert await code(rights, "decide", decision) == (200, "settled")
    assert await code(rights, "decide", decision) == (409, "timesheet-settled")
    assert [each.amount_fen for each in await rights.published(PayCorrected)] == [15_500]
    sheet = (await rights.http.get("/timesheets/placement-1", headers=rights.as_("worker", WORKER))).json()
    assert (sheet["minutes"], sheet["claimed_minutes"], sheet["settled_minutes"]) == (480, 420, 465)
    assert (sheet["settled_by"], sheet["grounds"]) == ("clerk", decision["grounds"])
    [row] = await rights.runtime.store.db["_audit"].find({}).to_list()
    assert (row["by"], row["what"], row["minutes"]) == (CLERK, "timesheet decided", 465)


async def test_what_people_write_is_sealed_and_in_no_event(rights: Harness) -> None:
    await work(rights)
    note, grounds = "八点四十才到现场", "门禁记录显示准时入场"
    await post(rights, "dispute", CLAIM | {"note": note})
    await post(rights, "decide", {"minutes": 480, "grounds": grounds})
    for collection in ("timesheets", "_audit", "_outbox"):
        kept = str(await rights.runtime.store.db[collection].find({}).to_list())
        assert note not in kept
        assert grounds not in kept
    sheet = (await rights.http.get("/timesheets/placement-1", headers=rights.as_("employer", EMPLOYER))).json()
    assert (sheet["note"], sheet["grounds"]) == (note, grounds)
    assert await rights.published(PayCorrected) == []  # as recorded after all


async def test_confirmed_pay_is_not_corrected(rights: Harness) -> None:
    await work(rights)
    await rights.http.post("/pay/placement-1/confirm", headers=rights.as_("worker", WORKER))
    await post(rights, "dispute", CLAIM)
    assert await code(rights, "agree") == (200, "settled")
    assert await rights.published(PayCorrected) == []
    pay = await rights.get(Payment, "placement-1")
    assert pay
    assert pay.amount_fen == 16_000


@pytest.mark.parametrize(("unit", "fen"), [(PayUnit.day, 20_000), (PayUnit.piece, 35)])
async def test_pay_that_does_not_go_by_minutes_stays(rights: Harness, unit: PayUnit, fen: int) -> None:
    await work(rights, unit=unit, amount_fen=fen)
    await post(rights, "dispute", CLAIM)
    assert await code(rights, "agree") == (200, "settled")
    assert await rights.published(PayCorrected) == []
    assert len(await rights.all(Payment)) == 1


async def test_where_nothing_was_worked_after_all_nothing_is_owed_or_overdue(rights: Harness) -> None:
    await work(rights)
    await post(rights, "dispute", {"minutes": 0, "reason": "was-away"})
    assert await code(rights, "agree") == (200, "settled")
    assert [each.amount_fen for each in await rights.published(PayCorrected)] == [0]
    assert await rights.all(Payment) == []
    await rights.later(days=14)
    assert await rights.published(PayOverdue) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"minutes": 481, "reason": "stayed-longer"}, "minutes"),
        ({"minutes": -1, "reason": "other"}, "minutes"),
        ({"minutes": 480, "reason": "other"}, "minutes"),
        ({"minutes": 420, "reason": "lazy"}, "reason"),
        ({"minutes": 420}, "reason"),
    ],
)
async def test_a_dispute_that_makes_no_sense_is_refused_by_field(
    rights: Harness, body: dict[str, Any], field: str
) -> None:
    await work(rights)
    answer = await post(rights, "dispute", body)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])
    [sheet] = await rights.all(Timesheet)
    assert sheet.status == "open"


async def test_it_is_its_parties_to_see_and_to_answer(rights: Harness) -> None:
    await work(rights)
    assert await code(rights, "approve", who="employer-2") == (404, "not-found")
    assert await code(rights, "dispute", CLAIM, who="employer-2") == (404, "not-found")
    await post(rights, "dispute", CLAIM)
    assert await code(rights, "agree", who="worker-2") == (404, "not-found")
    worker = rights.as_("worker", WORKER)
    for what in ("approve", "dispute", "decide"):
        answer = await rights.http.post(f"/timesheets/placement-1/{what}", json=CLAIM, headers=worker)
        assert answer.status_code == 403
    for headers, seen in (
        (worker, 1),
        (rights.as_("employer", EMPLOYER), 1),
        (rights.as_("clerk", districts=["4301"]), 1),
        (rights.as_("worker", "worker-2"), 0),
        (rights.as_("clerk", districts=["430103"]), 0),
    ):
        assert len((await rights.http.get("/timesheets", headers=headers)).json()["items"]) == seen


async def test_a_district_sets_its_deadline_and_a_placement_keeps_it(rights: Harness) -> None:
    body: dict[str, Any] = {"changes": {"timesheet_hours": 2}, "replaces": 0, "reason": "a test's"}
    operator = rights.as_("operator")
    assert (await rights.http.put(f"/rules/{DISTRICT}", json=body, headers=operator)).status_code == 200
    await rights.receives(placement_made())
    body |= {"changes": {}, "replaces": 1}
    assert (await rights.http.put(f"/rules/{DISTRICT}", json=body, headers=operator)).status_code == 200
    rights.clock.now = START
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    await rights.later(hours=8)
    await rights.later(hours=2)
    assert len(await rights.published(TimesheetApproved)) == 1


async def test_where_no_minute_was_worked_there_is_nothing_to_answer(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = START - timedelta(minutes=10)
    await rights.http.post("/shifts/placement-1/start", headers=rights.as_("worker", WORKER))
    await rights.receives(placement_cancelled(at=START - timedelta(minutes=5), by="worker"))
    assert await rights.all(Timesheet) == []
    await rights.later(days=2)
    assert await rights.published(TimesheetApproved) == []


# --- what keeps it from waiting for ever -----------------------------------------------------------------------------


async def put_rules(rights: Harness, status: int = 200, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"changes": changes, "replaces": 0, "reason": "a test's"}
    answer = await rights.http.put(f"/rules/{DISTRICT}", json=body, headers=rights.as_("operator"))
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def waiting(rights: Harness, what: str, *districts: str) -> list[str]:
    headers = rights.as_("clerk", CLERK, districts=districts or ("4301",))
    answer = await rights.http.get("/timesheets", params={"waiting": what}, headers=headers)
    return [item["placement_id"] for item in answer.json()["items"]]


async def test_an_employer_who_has_not_answered_is_reminded_once_before_the_deadline(rights: Harness) -> None:
    await work(rights)
    ended = rights.clock.now
    await rights.later(hours=20, seconds=-1)
    assert await rights.published(TimesheetUnanswered) == []
    await rights.later(seconds=1)
    [said] = await rights.published(TimesheetUnanswered)
    assert (said.minutes, said.answer_by, said.at) == (480, ended + timedelta(hours=24), ended + timedelta(hours=20))
    timer = Timer(id="again", name=TIMESHEET_REMINDER, subject="placement-1", due_at=said.answer_by)
    await rights.later(days=2)
    await rights.runtime.store.transact(lambda unit: remind_of_timesheet(timer, unit))
    assert len(await rights.published(TimesheetUnanswered)) == 1
    assert len(await rights.published(TimesheetApproved)) == 1


@pytest.mark.parametrize("what", ["approve", "dispute"])
async def test_who_has_answered_is_not_reminded(rights: Harness, what: str) -> None:
    await work(rights)
    await post(rights, what, CLAIM if what == "dispute" else None)
    await rights.later(days=1)
    assert await rights.published(TimesheetUnanswered) == []


@pytest.mark.parametrize(
    ("rules", "reminded_after"),
    [
        ({"timesheet_reminder_hours": 23}, 1),
        ({"timesheet_reminder_hours": 0}, None),
        ({"timesheet_hours": 4}, None),
        ({"timesheet_hours": 5}, 1),
    ],
)
async def test_a_district_says_how_long_before_a_reminder_comes(
    rights: Harness, rules: dict[str, int], reminded_after: int | None
) -> None:
    await put_rules(rights, **rules)
    await work(rights)
    await rights.later(hours=1)
    assert len(await rights.published(TimesheetUnanswered)) == (reminded_after == 1)
    await rights.later(days=2)
    assert len(await rights.published(TimesheetUnanswered)) == (reminded_after == 1)


async def test_after_a_deadline_that_passed_while_all_was_down_nobody_is_reminded_of_it(rights: Harness) -> None:
    await work(rights)
    await rights.later(days=3)
    assert await rights.published(TimesheetUnanswered) == []
    assert len(await rights.published(TimesheetApproved)) == 1


async def test_a_dispute_that_nobody_settles_becomes_urgent_and_then_the_record_stands(rights: Harness) -> None:
    await work(rights)
    await post(rights, "dispute", CLAIM)
    disputed = rights.clock.now
    assert await waiting(rights, "disputed") == ["placement-1"]
    await rights.later(hours=72, seconds=-1)
    assert (await waiting(rights, "escalated"), await rights.published(TimesheetEscalated)) == ([], [])
    await rights.later(seconds=1)
    [urgent] = await rights.published(TimesheetEscalated)
    assert (urgent.minutes, urgent.claimed_minutes) == (480, 420)
    assert (urgent.at, urgent.settle_by) == (disputed + timedelta(hours=72), disputed + timedelta(days=15))
    assert await waiting(rights, "escalated") == ["placement-1"]
    assert await waiting(rights, "escalated", "50") == []
    await rights.later(days=12, seconds=-1)
    assert await rights.published(TimesheetLapsed) == []
    await rights.later(seconds=1)
    [lapsed] = await rights.published(TimesheetLapsed)
    assert (lapsed.minutes, lapsed.at) == (480, disputed + timedelta(days=15))
    [sheet] = await rights.all(Timesheet)
    assert (sheet.status, sheet.settled_by, sheet.settled_minutes) == ("settled", "lapse", 480)
    assert await waiting(rights, "disputed") == []
    assert await code(rights, "agree") == (409, "timesheet-settled")
    assert await code(rights, "decide", {"minutes": 420, "grounds": "太晚了"}) == (409, "timesheet-settled")
    assert (await rights.published(PayCorrected), await rights.published(TimesheetSettled)) == ([], [])
    await rights.later(days=30)
    assert (len(await rights.published(TimesheetEscalated)), len(await rights.published(TimesheetLapsed))) == (1, 1)


async def test_a_dispute_that_is_settled_in_time_is_neither_urgent_nor_undone(rights: Harness) -> None:
    await work(rights)
    await post(rights, "dispute", CLAIM)
    await rights.later(hours=71)
    assert await code(rights, "agree") == (200, "settled")
    await rights.later(days=30)
    assert (await rights.published(TimesheetEscalated), await rights.published(TimesheetLapsed)) == ([], [])
    [sheet] = await rights.all(Timesheet)
    assert sheet.settled_minutes == 420


async def test_a_decision_and_the_end_of_a_dispute_at_once_leave_one_truth(rights: Harness) -> None:
    await work(rights)
    await post(rights, "dispute", CLAIM)
    await rights.later(days=14)
    rights.clock.advance(days=1)
    answer, _ = await asyncio.gather(post(rights, "agree"), rights.runtime.timers.fire_due())
    settled, lapsed = await rights.published(TimesheetSettled), await rights.published(TimesheetLapsed)
    assert (len(settled), len(lapsed)) == ((1, 0) if answer.status_code == 200 else (0, 1))


async def test_a_districts_figures_of_the_day_it_was_disputed_hold(rights: Harness) -> None:
    await put_rules(rights, dispute_hours=1, dispute_days=1)
    await work(rights)
    await post(rights, "dispute", CLAIM)
    await rights.later(hours=1)
    assert len(await rights.published(TimesheetEscalated)) == 1
    await rights.later(hours=23)
    assert len(await rights.published(TimesheetLapsed)) == 1


async def test_a_dispute_that_would_end_before_it_is_urgent_is_no_rule(rights: Harness) -> None:
    problem = await put_rules(rights, 422, dispute_hours=48, dispute_days=2)
    assert "dispute_hours must end before dispute_days do" in problem["errors"][0]["detail"]
