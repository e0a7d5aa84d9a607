"""Pay from the end of a shift until it is confirmed, or called overdue, once."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

import pytest

from services.rights.attendance import PAY_OVERDUE
from services.rights.handlers import call_overdue
from services.rights.store import Payment
from shared.contracts.rights import PayConfirmed, PayDue, PayOverdue
from shared.contracts.terms import PayMode, PayUnit
from shared.testing import Harness
from shared.unit import Timer
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_made

pytestmark = pytest.mark.feature("F19")

MIDNIGHT = datetime.fromisoformat("2026-11-24T00:00:00+08:00")


async def work(rights: Harness, minutes: int = 480, *placements: str) -> None:
    """The worker starts on time and ends after so many minutes."""
    rights.clock.now = MORNING + timedelta(hours=2)
    for placement in placements or ("placement-1",):
        await rights.http.post(f"/shifts/{placement}/start", headers=rights.as_("worker", WORKER))
    rights.clock.advance(minutes=minutes)
    for placement in placements or ("placement-1",):
        await rights.http.post(f"/shifts/{placement}/end", headers=rights.as_("worker", WORKER))


async def post(rights: Harness, what: str, who: str = "") -> tuple[int, str]:
    headers = {
        "paid": rights.as_("employer", who or EMPLOYER),
        "confirm": rights.as_("worker", who or WORKER),
    }[what]
    answer = await rights.http.post(f"/pay/placement-1/{what}", headers=headers)
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


async def test_hourly_pay_is_due_the_same_day_to_the_fen(rights: Harness) -> None:
    await rights.receives(placement_made(amount_fen=1999))
    await work(rights, minutes=445)
    expected = PayDue(
        placement_id="placement-1",
        worker_id=WORKER,
        employer_id=EMPLOYER,
        district=DISTRICT,
        amount_fen=14_826,  # 445 x 1999 / 60 = 14825.9…
        due_at=MIDNIGHT,
    )
    assert await rights.published(PayDue) == [expected]


@pytest.mark.parametrize(
    ("mode", "due_at"),
    [(PayMode.weekly, "2026-11-30T00:00:00+08:00"), (PayMode.monthly, "2026-12-16T00:00:00+08:00")],
)
async def test_a_days_pay_is_due_by_its_mode(rights: Harness, mode: PayMode, due_at: str) -> None:
    await rights.receives(placement_made(amount_fen=20_000, unit=PayUnit.day, mode=mode))
    await work(rights, minutes=30)
    [due] = await rights.published(PayDue)
    assert (due.amount_fen, due.due_at) == (20_000, datetime.fromisoformat(due_at))


async def test_paid_then_confirmed_is_never_overdue(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    assert await post(rights, "paid") == (200, "paid")
    assert await post(rights, "paid") == (409, "already-paid")
    assert await post(rights, "confirm") == (200, "confirmed")
    assert await post(rights, "confirm") == (409, "already-confirmed")
    assert await post(rights, "paid") == (409, "already-confirmed")
    assert await rights.runtime.store.db["_timers"].count_documents({"name": PAY_OVERDUE}) == 0
    await rights.later(days=3)
    [confirmed] = await rights.published(PayConfirmed)
    assert (confirmed.amount_fen, confirmed.at) == (16_000, MORNING + timedelta(hours=10))
    assert await rights.published(PayOverdue) == []


async def test_unconfirmed_pay_is_overdue_at_its_due_time_once(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    await post(rights, "paid")
    rights.clock.now = MIDNIGHT - timedelta(seconds=1)
    await rights.later()
    assert await rights.published(PayOverdue) == []
    await rights.later(seconds=1)
    await rights.later(days=2)
    [overdue] = await rights.published(PayOverdue)
    assert (overdue.amount_fen, overdue.due_at) == (16_000, MIDNIGHT)
    assert await post(rights, "confirm") == (200, "confirmed")
    page = (await rights.http.get("/pay", headers=rights.as_("worker", WORKER))).json()
    assert [(item["status"], item["overdue"]) for item in page["items"]] == [("confirmed", True)]


async def test_a_timer_that_fires_in_two_processes_speaks_once(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await asyncio.gather(*(rights.runtime.timers.fire_due() for _ in range(4)))
    assert len(await rights.published(PayOverdue)) == 1


async def test_a_timer_that_comes_after_all_says_nothing_of_pay_that_is_confirmed_or_called_already(
    rights: Harness,
) -> None:
    await rights.receives(placement_made(), placement_made("placement-2"))
    await work(rights, 480, "placement-1", "placement-2")
    await post(rights, "confirm")
    await rights.later(days=1)
    assert [overdue.placement_id for overdue in await rights.published(PayOverdue)] == ["placement-2"]
    for placement in ("placement-1", "placement-2"):
        timer = Timer(id=f"{PAY_OVERDUE}:{placement}", name=PAY_OVERDUE, subject=placement, due_at=MIDNIGHT)
        await rights.runtime.store.transact(partial(call_overdue, timer))
    assert len(await rights.published(PayOverdue)) == 1


async def test_confirming_and_the_due_time_at_once_leave_one_truth(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await asyncio.gather(post(rights, "confirm"), rights.runtime.timers.fire_due())
    pay = await rights.get(Payment, "placement-1")
    assert pay
    assert pay.confirmed_at == MIDNIGHT
    assert len(await rights.published(PayOverdue)) == int(pay.overdue)


async def test_no_work_no_pay(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights, minutes=0)
    assert await rights.published(PayDue) == []
    assert await rights.all(Payment) == []


async def test_pay_is_its_parties_to_see_and_to_change(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    assert await post(rights, "paid", who="employer-2") == (404, "not-found")
    assert await post(rights, "confirm", who="worker-2") == (404, "not-found")
    for headers, seen in (
        (rights.as_("worker", WORKER), 1),
        (rights.as_("employer", EMPLOYER), 1),
        (rights.as_("clerk", districts=[DISTRICT]), 1),
        (rights.as_("worker", "worker-2"), 0),
        (rights.as_("clerk", districts=["500120"]), 0),
    ):
        assert len((await rights.http.get("/pay", headers=headers)).json()["items"]) == seen
    assert (await rights.http.post("/pay/placement-1/paid", headers=rights.as_("worker", WORKER))).status_code == 403
    assert (
        await rights.http.post("/pay/placement-1/confirm", headers=rights.as_("employer", EMPLOYER))
    ).status_code == 403
