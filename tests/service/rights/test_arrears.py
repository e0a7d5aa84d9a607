"""Work that is not paid: one case by itself, a sanction, evidence, and what ends them."""

import asyncio
import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.rights.store import Case, Sanction
from shared.contracts.rights import CaseClosed, CaseOpened, PayContested, SanctionLifted, SanctionSet
from shared.evidence import chained, faults
from shared.testing import Harness
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_made
from tests.service.rights.test_cases import clerk, intake, step
from tests.service.rights.test_pay import MIDNIGHT, post, work

pytestmark = pytest.mark.feature("F19")

OPENS = MIDNIGHT + timedelta(hours=24)


async def unpaid(rights: Harness) -> None:
    """Somebody worked, and 24 hours after it was due their pay has not come."""
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await rights.later()
    rights.clock.now = OPENS
    await rights.later()


async def contest(rights: Harness) -> tuple[int, str]:
    answer = await rights.http.post("/pay/placement-1/contest", headers=rights.as_("worker", WORKER))
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


async def pack(rights: Harness) -> dict[str, Any]:
    answer = await rights.http.get("/placements/placement-1/evidence", headers=rights.as_("worker", WORKER))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- the story -------------------------------------------------------------------------------------------------------


@pytest.mark.feature("F10", "F46")
async def test_unpaid_work_from_the_shift_to_the_lifted_sanction(rights: Harness) -> None:
    await unpaid(rights)
    [opened] = await rights.published(CaseOpened)
    assert (opened.kind, opened.by, opened.placement_id, opened.at) == ("arrears", "market", "placement-1", OPENS)
    [set_] = await rights.published(SanctionSet)
    assert (set_.party_id, set_.kind, set_.case_id, set_.since) == (EMPLOYER, "block", opened.case_id, OPENS)
    assert set_.until == OPENS + timedelta(days=180)

    file = await pack(rights)
    assert faults(file) == []
    kinds = [entry["kind"] for entry in file["entries"]]
    assert kinds[:6] == ["agreement", "cover", "shift", "timesheet", "pay", "case"]
    bodies = {entry["kind"]: entry["body"] for entry in file["entries"]}
    assert (bodies["shift"]["minutes"], bodies["pay"]["amount_fen"], bodies["pay"]["status"]) == (480, 16_000, "due")
    assert bodies["case"]["receipt"] == opened.receipt

    assert await post(rights, "paid") == (200, "paid")
    assert await rights.published(SanctionLifted) == []
    assert await post(rights, "confirm") == (200, "confirmed")
    [closed] = await rights.published(CaseClosed)
    [lifted] = await rights.published(SanctionLifted)
    assert (closed.outcome, lifted.reason, lifted.sanction_id) == ("paid", "paid", set_.sanction_id)
    assert await rights.runtime.store.db["_timers"].count_documents({}) == 0
    assert faults(await pack(rights)) == []


# --- one case --------------------------------------------------------------------------------------------------------


@pytest.mark.feature("F19")
async def test_where_nothing_was_worked_after_all_the_case_ends_and_the_sanction_too(rights: Harness) -> None:
    """The hours were disputed meanwhile, and the worker agrees that there were none."""
    await rights.receives(placement_made())
    await work(rights)
    dispute = {"minutes": 0, "reason": "was-away"}
    as_employer, as_worker = rights.as_("employer", EMPLOYER), rights.as_("worker", WORKER)
    answer = await rights.http.post("/timesheets/placement-1/dispute", json=dispute, headers=as_employer)
    assert answer.is_success, answer.text
    for rights.clock.now in (MIDNIGHT, OPENS):
        await rights.later()
    assert [set_.reason for set_ in await rights.published(SanctionSet)] == ["arrears"]
    answer = await rights.http.post("/timesheets/placement-1/agree", headers=as_worker)
    assert answer.is_success, answer.text
    [closed], [_] = await rights.published(CaseClosed), await rights.published(SanctionLifted)
    assert closed.outcome == "unfounded"


async def test_the_case_opens_a_day_after_the_pay_was_due_to_the_second_and_once(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await rights.later()
    rights.clock.now = OPENS - timedelta(seconds=1)
    await rights.later()
    assert await rights.all(Case) == []
    rights.clock.now = OPENS
    await asyncio.gather(*(rights.runtime.timers.fire_due() for _ in range(4)))
    await rights.later(days=1)
    assert len(await rights.published(CaseOpened)) == 1
    assert len(await rights.published(SanctionSet)) == 1


async def test_pay_that_is_confirmed_within_the_day_opens_nothing(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await rights.later()
    assert await post(rights, "confirm") == (200, "confirmed")
    await rights.later(days=3)
    assert await rights.all(Case) == []
    assert await rights.all(Sanction) == []


async def test_confirming_and_the_end_of_the_day_at_once_leave_one_truth(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    rights.clock.now = MIDNIGHT
    await rights.later()
    rights.clock.now = OPENS
    await asyncio.gather(post(rights, "confirm"), rights.runtime.timers.fire_due())
    await rights.later()
    assert [case.state for case in await rights.all(Case)] in ([], ["closed"])
    assert not any(one.in_force(rights.clock.now) for one in await rights.all(Sanction))


async def test_a_worker_who_was_first_has_the_one_case_and_it_brings_the_sanction(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    case = await intake(rights, kind="arrears")
    again = await intake(rights, kind="arrears", status=409)
    assert (again["code"], again["facts"]["receipt"]) == ("case-exists", case["receipt"])
    await rights.later(days=2)
    await rights.later(days=2)
    assert [said.by for said in await rights.published(CaseOpened)] == ["worker"]
    [set_] = await rights.published(SanctionSet)
    assert set_.case_id == case["case_id"]


async def test_a_case_that_a_clerk_closed_brings_no_sanction(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    case = await intake(rights, kind="arrears")
    await step(rights, case["case_id"], "closed", outcome="unfounded", note="已核对转账凭证")
    await rights.later(days=2)
    await rights.later(days=2)
    assert await rights.published(SanctionSet) == []


async def test_a_clerk_who_saw_the_transfer_closes_the_case_and_the_sanction_is_lifted(rights: Harness) -> None:
    await unpaid(rights)
    [case] = await rights.all(Case)
    await step(rights, case.id, "closed", outcome="paid", note="已核对转账凭证")
    assert [said.reason for said in await rights.published(SanctionLifted)] == ["paid"]
    assert await post(rights, "confirm") == (200, "confirmed")
    assert len(await rights.published(CaseClosed)) == 1


# --- contested -------------------------------------------------------------------------------------------------------


async def test_pay_that_did_not_arrive_keeps_its_case_open(rights: Harness) -> None:
    await unpaid(rights)
    assert await contest(rights) == (409, "not-marked-paid")
    assert await post(rights, "paid") == (200, "paid")
    assert await contest(rights) == (200, "contested")
    assert await contest(rights) == (409, "not-marked-paid")
    [said] = await rights.published(PayContested)
    assert (said.amount_fen, said.employer_id) == (16_000, EMPLOYER)
    [case] = await rights.all(Case)
    assert case.state == "open"
    assert [entry.what for entry in case.history] == ["open", "sanction", "marked-paid", "contested"]
    assert [one.in_force(rights.clock.now) for one in await rights.all(Sanction)] == [True]
    assert await post(rights, "paid") == (200, "paid")
    assert await post(rights, "confirm") == (200, "confirmed")
    assert await contest(rights) == (409, "not-marked-paid")
    assert [one.in_force(rights.clock.now) for one in await rights.all(Sanction)] == [False]


async def test_contested_pay_that_is_never_paid_opens_its_case(rights: Harness) -> None:
    await rights.receives(placement_made())
    await work(rights)
    await post(rights, "paid")
    assert await contest(rights) == (200, "contested")
    rights.clock.now = MIDNIGHT
    await rights.later()
    await rights.later(hours=24)
    assert len(await rights.published(CaseOpened)) == 1


# --- evidence --------------------------------------------------------------------------------------------------------


def _change_minutes(file: dict[str, Any]) -> None:
    file["entries"][2]["body"]["minutes"] = 600


def _change_terms(file: dict[str, Any]) -> None:
    body = file["entries"][0]["body"]
    body["document"] = body["document"].replace("2000", "9000")


def _remove(file: dict[str, Any]) -> None:
    del file["entries"][1]


def _cut(file: dict[str, Any]) -> None:
    del file["entries"][-1]


def _swap(file: dict[str, Any]) -> None:
    entries = file["entries"]
    entries[1], entries[2] = entries[2], entries[1]


def _add(file: dict[str, Any]) -> None:
    file["entries"].append(copy.deepcopy(file["entries"][-1]))


def _other_worker(file: dict[str, Any]) -> None:
    file["worker_id"] = "worker-2"


def _chain_one_anew(file: dict[str, Any]) -> None:
    """One entry changed with a hash that fits it: the next one does not follow it."""
    head = {name: value for name, value in file.items() if name not in ("entries", "head_sha256", "seal")}
    entries = [(entry["kind"], entry["at"], entry["body"]) for entry in file["entries"]]
    entries[4][2]["amount_fen"] = 1
    file["entries"][4] = chained(head, entries)["entries"][4]


@pytest.mark.feature("F46")
@pytest.mark.parametrize(
    "tamper", [_change_minutes, _change_terms, _remove, _cut, _swap, _add, _other_worker, _chain_one_anew]
)
async def test_whatever_is_done_to_a_file_of_evidence_is_found(
    rights: Harness, tamper: Callable[[dict[str, Any]], None]
) -> None:
    await unpaid(rights)
    file = await pack(rights)
    assert faults(file) == []
    tamper(file)
    assert faults(file)


@pytest.mark.feature("F46")
async def test_evidence_holds_what_was_said_and_is_for_the_worker_and_clerks(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = await intake(rights)
    await step(rights, case["case_id"], "accepted", note="已联系用工方核实")
    file = await pack(rights)
    told = [entry["body"].get("what_happened") or entry["body"].get("note") for entry in file["entries"]]
    assert case["what_happened"] in told
    assert "已联系用工方核实" in told
    for headers, status in (
        (clerk(rights), 200),
        (clerk(rights, "clerk-9", "50"), 404),
        (rights.as_("worker", "worker-2"), 404),
        (rights.as_("employer", EMPLOYER), 403),
    ):
        answer = await rights.http.get("/placements/placement-1/evidence", headers=headers)
        assert answer.status_code == status
    assert file["district"] == DISTRICT


@pytest.mark.feature("F46")
async def test_evidence_holds_the_timesheet_with_its_dispute_and_what_came_of_it(rights: Harness) -> None:
    await unpaid(rights)
    [sheet] = [entry for entry in (await pack(rights))["entries"] if entry["kind"] == "timesheet"]
    assert (sheet["body"]["minutes"], sheet["body"]["status"], sheet["body"]["note"]) == (480, "approved", None)
    assert sheet["body"]["approved_by"] == "deadline"
    await rights.receives(placement_made("placement-2", start=rights.clock.now + timedelta(hours=1)))
    rights.clock.advance(hours=1)
    worker, employer = rights.as_("worker", WORKER), rights.as_("employer", EMPLOYER)
    wrong = await rights.http.post("/shifts/placement-2/start", json={"code": "000000"}, headers=worker)
    assert wrong.status_code == 409
    await rights.http.post("/shifts/placement-2/start", headers=worker)
    rights.clock.advance(hours=8)
    await rights.http.post("/shifts/placement-2/end", headers=worker)
    claim = {"minutes": 420, "reason": "came-late", "note": "九点才到"}
    await rights.http.post("/timesheets/placement-2/dispute", json=claim, headers=employer)
    decision = {"minutes": 450, "grounds": "监控显示八点半到场"}
    await rights.http.post("/timesheets/placement-2/decide", json=decision, headers=clerk(rights))
    file = (await rights.http.get("/placements/placement-2/evidence", headers=worker)).json()
    assert faults(file) == []
    bodies = {entry["kind"]: entry["body"] for entry in file["entries"]}
    sheet = bodies["timesheet"]
    assert (sheet["minutes"], sheet["claimed_minutes"], sheet["settled_minutes"]) == (480, 420, 450)
    assert (sheet["reason"], sheet["note"]) == ("came-late", "九点才到")
    assert (sheet["settled_by"], sheet["grounds"]) == ("clerk", "监控显示八点半到场")
    assert [refused["code"] for refused in bodies["shift"]["refused"]] == ["wrong-code"]
    file["entries"][3]["body"]["settled_minutes"] = 480
    assert faults(file)


@pytest.mark.feature("F46")
async def test_evidence_holds_the_words_of_who_vouched_for_a_start(rights: Harness) -> None:
    await rights.receives(placement_made())
    rights.clock.now = MORNING + timedelta(hours=2)
    note = "东门整修，从后门进入"
    answer = await rights.http.post(
        "/shifts/placement-1/override",
        json={"reason": "wrong-place", "note": note},
        headers=rights.as_("employer", EMPLOYER),
    )
    assert answer.status_code == 200
    bodies = {entry["kind"]: entry["body"] for entry in (await pack(rights))["entries"]}
    assert bodies["shift"]["proof"] == {
        "method": "override",
        "distance_m": None,
        "by": "employer",
        "reason": "wrong-place",
        "note": note,
    }
