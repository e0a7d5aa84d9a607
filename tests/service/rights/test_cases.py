"""Cases from their intake to their outcome, and the time limits that run for them."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from services.rights.cases import CASE_LIMIT
from services.rights.handlers import escalate_case
from services.rights.store import Case, Sanction
from shared.contracts.rights import (
    CaseAdvanced,
    CaseClosed,
    CaseEscalated,
    CaseInvited,
    CaseOpened,
    SanctionLifted,
    SanctionSet,
)
from shared.testing import Harness
from shared.unit import Timer
from tests.service.rights.placements import DISTRICT, EMPLOYER, MORNING, WORKER, placement_made

pytestmark = pytest.mark.feature("F10")

Body = dict[str, Any]
STORY = "下班后被要求交服装押金，未开收据"


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T00:00:00+08:00")


async def intake(rights: Harness, *, status: int = 201, by: str = "worker", **form: Any) -> Body:
    who = rights.as_("worker", WORKER) if by == "worker" else clerk(rights)
    body = {"kind": "fee-charged", "what_happened": STORY, "placement_id": "placement-1"} | form
    answer = await rights.http.post("/cases", json=body, headers=who)
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


def clerk(rights: Harness, name: str = "clerk-1", *districts: str) -> dict[str, str]:
    return rights.as_("clerk", name, districts=districts or ("4301",))


async def step(rights: Harness, case: str, to: str, *, status: int = 200, **more: Any) -> Body:
    answer = await rights.http.post(f"/cases/{case}/steps", json={"to": to, **more}, headers=clerk(rights))
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


async def queue(rights: Harness, *districts: str, **query: Any) -> list[str]:
    answer = await rights.http.get("/cases", params=query, headers=clerk(rights, "clerk-1", *districts))
    return [item["case_id"] for item in answer.json()["items"]]


# --- intake ----------------------------------------------------------------------------------------------------------


async def test_one_call_opens_a_case_and_answers_its_receipt_number(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = await intake(rights)
    assert case["receipt"].startswith("261123-")
    assert (case["state"], case["district"], case["employer_id"]) == ("open", DISTRICT, EMPLOYER)
    assert case["what_happened"] == STORY
    [opened] = await rights.published(CaseOpened)
    assert (opened.receipt, opened.by, opened.key, opened.kind) == (case["receipt"], "worker", WORKER, "fee-charged")
    assert await queue(rights) == [case["case_id"]]
    mine = await rights.http.get("/cases", headers=rights.as_("worker", WORKER))
    assert [item["receipt"] for item in mine.json()["items"]] == [case["receipt"]]


async def test_receipt_numbers_differ(rights: Harness) -> None:
    receipts = {(await intake(rights, placement_id=None, district=DISTRICT))["receipt"] for _ in range(20)}
    assert len(receipts) == 20


async def test_a_clerk_opens_one_for_a_worker_of_their_districts(rights: Harness) -> None:
    form: Body = {"placement_id": None, "by": "clerk", "worker_id": "worker-9"}
    assert (await intake(rights, **form, district=DISTRICT))["opened_by"] == "clerk"
    assert (await intake(rights, **form, district="500120", status=403))["code"] == "forbidden"
    missing = await intake(rights, by="clerk", status=422)
    assert [error["field"] for error in missing["errors"]] == ["worker_id"]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"placement_id": "of-somebody-else"}, "placement_id"),
        ({"placement_id": None}, "district"),
        ({"district": DISTRICT}, "district"),
        ({"worker_id": "worker-2"}, "worker_id"),
        ({"kind": "gossip"}, "kind"),
        ({"what_happened": " "}, "what_happened"),
        ({"happened_on": "2026-11-24"}, "happened_on"),
    ],
)
async def test_a_form_that_is_wrong_names_its_field(rights: Harness, form: Body, field: str) -> None:
    await rights.receives(placement_made())
    problem = await intake(rights, status=422, **form)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await rights.all(Case) == []


async def test_what_happened_is_sealed_and_in_no_event(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = await intake(rights)
    await step(rights, case["case_id"], "accepted", note="已联系用工方核实")
    kept = str(await rights.runtime.store.db["cases"].find({}).to_list())
    said = "".join(event.model_dump_json() for event in await rights.published())
    for text in (STORY, "核实"):
        assert text not in kept
        assert text not in said
        assert text.encode().hex() not in kept


async def test_a_case_is_its_workers_and_its_districts_clerks_to_see(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    for headers, status in (
        (rights.as_("worker", WORKER), 200),
        (clerk(rights), 200),
        (rights.as_("worker", "worker-2"), 404),
        (clerk(rights, "clerk-9", "50"), 404),
        (rights.as_("employer", EMPLOYER), 403),
    ):
        assert (await rights.http.get(f"/cases/{case}", headers=headers)).status_code == status
    assert await queue(rights, "50") == []
    other = await rights.http.post(
        f"/cases/{case}/steps", json={"to": "accepted"}, headers=clerk(rights, "clerk-9", "50")
    )
    assert other.status_code == 403


# --- on its way ------------------------------------------------------------------------------------------------------


async def test_a_case_goes_from_intake_to_outcome_and_keeps_its_history(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    await step(rights, case, "accepted")
    await step(rights, case, "mediation")
    assert (await step(rights, case, "taken-up", status=409))["code"] == "case-not-there"
    await step(rights, case, "referred", status=422)
    await step(rights, case, "referred", referred_to="arbitration")
    await step(rights, case, "taken-up")
    await step(rights, case, "closed", status=422)
    closed = await step(rights, case, "closed", outcome="decided", note="裁决退还押金")
    whats = ["open", "accepted", "mediation", "referred", "taken-up", "closed"]
    assert [entry["what"] for entry in closed["history"]] == whats
    assert closed["history"][-1]["note"] == "裁决退还押金"
    [said] = await rights.published(CaseClosed)
    assert (said.outcome, said.receipt) == ("decided", closed["receipt"])
    assert (await step(rights, case, "accepted", status=409))["code"] == "case-not-there"
    assert await queue(rights) == []
    assert await queue(rights, state="closed") == [case]
    await rights.later(days=400)
    assert await rights.published(CaseEscalated) == []


async def test_a_worker_may_take_a_case_back(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    wrong = await rights.http.post(f"/cases/{case}/withdraw", headers=rights.as_("worker", "worker-2"))
    assert wrong.status_code == 404
    answer = await rights.http.post(f"/cases/{case}/withdraw", headers=rights.as_("worker", WORKER))
    assert (answer.json()["state"], answer.json()["outcome"]) == ("closed", "withdrawn")


async def test_each_step_is_said_and_the_employer_is_concerned_from_mediation_on(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    await step(rights, case, "accepted")
    await step(rights, case, "mediation")
    await step(rights, case, "settled")
    await step(rights, case, "referred", referred_to="arbitration")
    await step(rights, case, "accepted")
    await step(rights, case, "referred", referred_to="inspection")
    await step(rights, case, "taken-up")
    await step(rights, case, "closed", outcome="decided")
    said = [(each.state, each.referred_to, each.employer_concerned) for each in await rights.published(CaseAdvanced)]
    assert said == [
        ("accepted", None, False),
        ("mediation", None, True),
        ("settled", None, True),
        ("referred", "arbitration", True),
        ("accepted", "arbitration", True),
        ("referred", "inspection", True),
        ("taken-up", "inspection", True),
    ]
    assert [each.step for each in await rights.published(CaseAdvanced)] == [2, 3, 4, 5, 6, 7, 8]
    [closed] = await rights.published(CaseClosed)
    assert closed.employer_concerned


async def test_of_a_case_that_never_came_to_mediation_the_employer_is_told_nothing(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    await rights.later(days=10)
    await step(rights, case, "declined")
    await step(rights, case, "closed", outcome="unfounded")
    said = [*await rights.published(CaseAdvanced), *await rights.published(CaseEscalated)]
    assert [each.employer_concerned for each in [*said, *await rights.published(CaseClosed)]] == [False] * 3


async def invite(rights: Harness, case: str, *, status: int = 200, **form: Any) -> Body:
    body = {"starts_at": "2026-12-01T09:30:00+08:00", "place": "示例街道调解室 2 楼"} | form
    answer = await rights.http.post(f"/cases/{case}/invitation", json=body, headers=clerk(rights))
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


async def test_both_sides_are_invited_and_read_where(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    path = f"/cases/{case}/invitation"
    assert (await invite(rights, case, status=409))["code"] == "no-meeting"
    assert (await rights.http.get(path, headers=rights.as_("worker", WORKER))).status_code == 404
    await step(rights, case, "accepted")
    await step(rights, case, "mediation")
    await invite(rights, case)
    await invite(rights, case, starts_at="2026-12-03T09:30:00+08:00", place="示例街道调解室 3 楼")
    said = await rights.published(CaseInvited)
    assert [(each.to, each.starts_at.day, each.step, each.employer_concerned) for each in said] == [
        ("mediation", 1, 4, True),
        ("mediation", 3, 5, True),
    ]
    for headers, status in (
        (rights.as_("worker", WORKER), 200),
        (rights.as_("employer", EMPLOYER), 200),
        (clerk(rights), 200),
        (rights.as_("worker", "worker-2"), 404),
        (rights.as_("employer", "employer-2"), 404),
        (clerk(rights, "clerk-9", "50"), 404),
        (rights.as_("agency", WORKER), 404),
    ):
        answer = await rights.http.get(path, headers=headers)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["place"] == "示例街道调解室 3 楼"
            assert datetime.fromisoformat(answer.json()["starts_at"]) == local("2026-12-03") + timedelta(hours=9.5)
    kept = str(await rights.runtime.store.db["cases"].find({}).to_list())
    assert "调解室" not in kept
    assert "调解室" not in "".join(event.model_dump_json() for event in said)


async def test_to_a_hearing_too_and_never_to_one_that_has_been(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    await step(rights, case, "accepted")
    await step(rights, case, "referred", referred_to="arbitration")
    assert (await invite(rights, case, status=409))["code"] == "no-meeting"
    await step(rights, case, "taken-up")
    problem = await invite(rights, case, status=422, starts_at=rights.clock.now.isoformat())
    assert [error["field"] for error in problem["errors"]] == ["starts_at"]
    await invite(rights, case)
    assert [(each.to, each.employer_concerned) for each in await rights.published(CaseInvited)] == [("hearing", True)]
    other = {"starts_at": "2026-12-01T09:30:00+08:00", "place": "示例街道"}
    answer = await rights.http.post(f"/cases/{case}/invitation", json=other, headers=clerk(rights, "c", "50"))
    assert answer.status_code == 403


# --- time limits -----------------------------------------------------------------------------------------------------


async def test_a_case_nobody_answers_escalates_once_when_the_fifth_working_day_has_ended(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = await intake(rights)
    [limit] = case["limits"]
    assert datetime.fromisoformat(limit["due_at"]) == local("2026-12-01")  # Tuesday to Friday, and Monday
    assert "劳动保障监察条例" in limit["source"]
    rights.clock.now = local("2026-12-01") - timedelta(milliseconds=1)
    await rights.later()
    assert await rights.published(CaseEscalated) == []
    await rights.later(milliseconds=1)
    [said] = await rights.published(CaseEscalated)
    assert (said.limit, said.due_at, said.receipt) == ("acceptance", local("2026-12-01"), case["receipt"])
    await rights.later(days=30)
    assert len(await rights.published(CaseEscalated)) == 1
    assert await queue(rights, escalated=True) == [case["case_id"]]
    assert not (await step(rights, case["case_id"], "accepted"))["escalated"]


async def test_a_limit_that_rings_in_several_processes_and_again_after_a_restart_is_called_once(
    rights: Harness,
) -> None:
    case = await intake(rights, placement_id=None, district=DISTRICT)
    rights.clock.now = local("2026-12-01")
    await asyncio.gather(*(rights.runtime.timers.fire_due() for _ in range(4)))
    again = Timer(
        id="again",
        name=CASE_LIMIT,
        subject="again",
        due_at=rights.clock.now,
        data={"case_id": case["case_id"], "limit": "acceptance"},
    )
    await rights.runtime.store.transact(partial(escalate_case, again))
    assert len(await rights.published(CaseEscalated)) == 1
    kept = await rights.get(Case, case["case_id"])
    assert kept
    assert kept.escalated
    assert [entry.what for entry in kept.history] == ["open", "limit-passed"]


@pytest.mark.parametrize(
    ("authority", "accepts_by", "decides_by", "extended_to"),
    [
        # from 1 October 2026 on (a Thursday, the first of seven days of rest), with 10 October worked in exchange
        ("inspection", "2026-10-14", "2026-12-30", "2027-02-10"),
        ("arbitration", "2026-10-14", "2026-11-17", "2026-12-02"),
    ],
)
async def test_a_referred_case_has_the_authoritys_limits_in_its_days(
    rights: Harness, authority: str, accepts_by: str, decides_by: str, extended_to: str
) -> None:
    rights.clock.now = datetime.fromisoformat("2026-10-01T10:00:00+08:00")
    case = (await intake(rights, placement_id=None, district=DISTRICT))["case_id"]
    await step(rights, case, "accepted")
    referred = await step(rights, case, "referred", referred_to=authority)
    assert datetime.fromisoformat(referred["limits"][-1]["due_at"]) == local(accepts_by)
    taken = await step(rights, case, "taken-up")
    assert datetime.fromisoformat(taken["limits"][-1]["due_at"]) == local(decides_by)
    name = f"{authority}-decision"
    for status, code in ((200, None), (409, "limit-not-extendable")):
        answer = await rights.http.post(f"/cases/{case}/limits/{name}/extend", headers=clerk(rights))
        assert (answer.status_code, answer.json().get("code")) == (status, code)
    rights.clock.now = local(extended_to) - timedelta(seconds=1)
    await rights.later()
    assert await rights.published(CaseEscalated) == []
    await rights.later(seconds=1)
    assert [said.limit for said in await rights.published(CaseEscalated)] == [name]


async def test_an_injurys_limit_counts_from_the_day_it_happened_and_ends_when_it_is_met(rights: Harness) -> None:
    form: Body = {"kind": "injury", "placement_id": None, "district": DISTRICT, "happened_on": "2026-11-20"}
    first, second = [await intake(rights, **form) for _ in range(2)]
    for case in (first, second):
        await step(rights, case["case_id"], "accepted")
    [limit] = [one for one in first["limits"] if one["name"] == "injury-recognition"]
    assert datetime.fromisoformat(limit["due_at"]) == local("2026-12-22")  # 20 December is a Sunday
    met = f"/cases/{first['case_id']}/limits/injury-recognition/met"
    assert (await rights.http.post(met, headers=clerk(rights))).status_code == 200
    assert (await rights.http.post(met, headers=clerk(rights))).json()["code"] == "no-limit"
    await rights.later(days=60)
    assert [said.case_id for said in await rights.published(CaseEscalated)] == [second["case_id"]]


# --- sanctions -------------------------------------------------------------------------------------------------------


async def sanction(rights: Harness, *, status: int = 201, by: str = "clerk-1", **form: Any) -> Body:
    body = {"employer_id": EMPLOYER, "district": DISTRICT, "kind": "suspend", "reason": "unsafe-place"} | form
    answer = await rights.http.post("/sanctions", json=body, headers=clerk(rights, by))
    assert answer.status_code == status, answer.text
    found: Body = answer.json()
    return found


async def test_a_sanction_ends_at_its_time_once(rights: Harness) -> None:
    until = MORNING + timedelta(days=30)
    made = await sanction(rights, until=until.isoformat())
    [said] = await rights.published(SanctionSet)
    assert (said.party_id, said.kind, said.until, said.key) == (EMPLOYER, "suspend", until, EMPLOYER)
    await rights.later(days=30, seconds=-1)
    assert await rights.published(SanctionLifted) == []
    await rights.later(seconds=1)
    await rights.later(days=5)
    lifted = await rights.published(SanctionLifted)
    assert [(one.sanction_id, one.reason) for one in lifted] == [(made["sanction_id"], "expired")]
    await sanction(rights, until=MORNING.isoformat(), status=422)
    await sanction(rights, district="500120", status=403)
    await sanction(rights, case_id="no-such", status=404)


async def test_an_appeal_is_decided_once_by_another_clerk(rights: Harness) -> None:
    id = (await sanction(rights))["sanction_id"]

    async def post(what: str, who: dict[str, str], **body: Any) -> tuple[int, Body]:
        answer = await rights.http.post(f"/sanctions/{id}/{what}", json=body, headers=who)
        return answer.status_code, answer.json()

    employer = rights.as_("employer", EMPLOYER)
    verdict = {"upheld": True, "reason": "现场已整改并复查"}
    assert (await post("appeal/decision", clerk(rights, "clerk-2"), **verdict))[1]["code"] == "no-appeal"
    assert (await post("appeal", rights.as_("employer", "employer-2"), text="与我无关的处理"))[0] == 404
    assert (await post("appeal", employer, text="现场已经整改完毕"))[1]["appeal"]["state"] == "waiting"
    waiting = await rights.http.get("/sanctions?appealed=true", headers=clerk(rights, "clerk-2"))
    assert [item["sanction_id"] for item in waiting.json()["items"]] == [id]
    assert (await post("appeal/decision", clerk(rights, "clerk-1"), **verdict))[1]["code"] == "same-clerk"
    status, decided = await post("appeal/decision", clerk(rights, "clerk-2"), **verdict)
    assert (status, decided["in_force"], decided["appeal"]["state"]) == (200, False, "upheld")
    assert [said.reason for said in await rights.published(SanctionLifted)] == ["appeal"]
    assert (await post("appeal/decision", clerk(rights, "clerk-3"), **verdict))[1]["code"] == "appeal-decided"
    assert (await post("appeal", employer, text="现场已经整改完毕"))[1]["code"] == "appeal-decided"
    assert "整改" not in "".join(event.model_dump_json() for event in await rights.published())
    mine = await rights.http.get("/sanctions", headers=employer)
    assert mine.json()["items"][0]["appeal"]["reason"] == verdict["reason"]


async def test_a_clerk_lifts_a_sanction_and_a_closed_case_lifts_its_own(rights: Harness) -> None:
    await rights.receives(placement_made())
    case = (await intake(rights))["case_id"]
    first, second = await sanction(rights), await sanction(rights, case_id=case)
    lift: Body = {"json": {"reason": "查无实据"}, "headers": clerk(rights, "clerk-2")}
    for _ in range(2):
        assert (await rights.http.post(f"/sanctions/{first['sanction_id']}/lift", **lift)).status_code == 200
    await step(rights, case, "closed", outcome="unfounded")
    lifted = [(said.sanction_id, said.reason) for said in await rights.published(SanctionLifted)]
    assert lifted == [(first["sanction_id"], "clerk"), (second["sanction_id"], "case-closed")]
    assert [one.in_force(rights.clock.now) for one in await rights.all(Sanction)] == [False, False]
