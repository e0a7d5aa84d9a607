"""Who is told of what: once per person and event, in their language."""

import asyncio
from datetime import timedelta

import pytest

from services.notify.handlers import react
from services.notify.store import Delivery, Message
from shared.contracts.matching import (
    AttendanceAsked,
    AttendanceConfirmed,
    ExcuseDecided,
    OfferExpired,
    OfferMade,
    PlacementCancelled,
    PlacementMade,
)
from shared.contracts.posting import (
    EmployerSuspended,
    EmployerVerificationEnding,
    EmployerVerified,
    GigAmended,
    GigClosed,
    GigFilled,
    GigPosted,
    GigReopened,
    ReviewDecided,
)
from shared.contracts.rights import (
    AgreementMade,
    CaseClosed,
    CaseEscalated,
    CaseOpened,
    CoverRefused,
    PayConfirmed,
    PayContested,
    PayCorrected,
    PayDue,
    PayOverdue,
    ReliabilityChanged,
    SanctionLifted,
    SanctionSet,
    ShiftMissed,
    ShiftStarted,
    TimesheetDisputed,
    TimesheetSettled,
)
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut
from shared.testing import Harness
from tests.service.notify.story import EMPLOYER, WORKER, messages, reach, said, told

pytestmark = pytest.mark.feature("F8")

JOURNEY = [
    said(EmployerVerified),
    said(ReviewDecided),
    said(GigPosted),
    said(OfferMade),
    said(PlacementMade),
    said(AgreementMade),
    said(CoverRefused),
    said(GigFilled),
    said(ShiftStarted),
    said(PayDue),
    said(TimesheetDisputed),
    said(TimesheetSettled),
    said(PayCorrected),
    said(PayOverdue),
    said(PayContested),
    said(CaseOpened),
    said(CaseEscalated),
    said(SanctionSet),
    said(PayConfirmed),
    said(CaseClosed),
    said(SanctionLifted),
    said(ReliabilityChanged),
    said(PlacementCancelled),
    said(ExcuseDecided),
    said(AttendanceAsked),
    said(AttendanceConfirmed),
    said(ShiftMissed),
    said(OfferExpired, reason="filled"),
    said(GigReopened),
    said(GigAmended),
    said(GigClosed),
    said(EmployerVerificationEnding),
    said(EmployerSuspended),
]

TOLD = [
    ("agreement-made", "worker"),
    ("attendance-asked", "worker"),
    ("attendance-confirmed", "employer"),
    ("case-closed", "employer"),
    ("case-closed", "worker"),
    ("case-escalated", "worker"),
    ("case-opened", "employer"),
    ("case-opened", "worker"),
    ("cover-refused", "employer"),
    ("cover-refused", "worker"),
    ("employer-suspended", "employer"),
    ("employer-verification-ending", "employer"),
    ("employer-verified", "employer"),
    ("excuse-decided", "employer"),
    ("excuse-decided", "worker"),
    ("gig-closed", "employer"),
    ("gig-filled", "employer"),
    ("offer-expired", "worker"),
    ("offer-made", "worker"),
    ("pay-confirmed", "employer"),
    ("pay-contested", "employer"),
    ("pay-corrected", "employer"),
    ("pay-corrected", "worker"),
    ("pay-due", "employer"),
    ("pay-due", "worker"),
    ("pay-overdue", "employer"),
    ("pay-overdue", "worker"),
    ("placement-cancelled", "employer"),
    ("placement-cancelled", "worker"),
    ("placement-made", "employer"),
    ("placement-made", "worker"),
    ("reliability-changed", "worker"),
    ("review-decided", "employer"),
    ("sanction-lifted", "employer"),
    ("sanction-set", "employer"),
    ("shift-missed", "employer"),
    ("shift-missed", "worker"),
    ("shift-started", "employer"),
    ("timesheet-disputed", "worker"),
    ("timesheet-settled", "employer"),
    ("timesheet-settled", "worker"),
]


async def test_everyone_hears_of_what_concerns_them_in_both_languages(notify: Harness) -> None:
    assert {type(event) for event in JOURNEY} | {WorkerCheckedIn, WorkerCheckedOut} == set(react.kinds.values())
    for event in JOURNEY:
        await notify.receives(event)
    assert await told(notify) == TOLD
    for person in (WORKER, EMPLOYER):
        for language in ("zh", "en"):
            texts = [one["text"] for one in await messages(notify, person, accept_language=language)]
            assert len(texts) == sum(part == ("worker" if person == WORKER else "employer") for _, part in TOLD)
            assert not any("{" in text or "}" in text for text in texts)
            titled = [text for text in texts if "快件分拣员" in text]
            assert len(titled) == len(texts) - (8 if person == EMPLOYER else 4)


async def test_who_is_told_that_nobody_came_is_not_told_too_that_the_market_cancelled(notify: Harness) -> None:
    await notify.receives(said(PlacementMade), said(ShiftMissed))
    before = await told(notify)
    await notify.receives(said(PlacementCancelled, by="market", reason="no-show"))
    assert await told(notify) == before
    texts = [one["text"] for one in await messages(notify, accept_language="en")]
    assert texts[-1].startswith("Your shift at 快件分拣员")


async def test_compensation_is_told_as_what_it_is(notify: Harness) -> None:
    await notify.receives(said(PlacementMade), said(PayDue, reason="cancellation"))
    for language, words in (("en", "for the late cancellation of"), ("zh", "临时取消的补偿")):
        for person in (WORKER, EMPLOYER):
            assert words in (await messages(notify, person, accept_language=language))[-1]["text"]


async def test_an_event_that_comes_again_is_told_once(notify: Harness) -> None:
    await reach(notify)
    await reach(notify, EMPLOYER)
    for event in JOURNEY[:-1]:
        await notify.receives(event, id=f"id-of-{event.type}")
        await notify.receives(event, id=f"id-of-{event.type}")
        await notify.receives(event)  # and under another id
    await notify.receives(JOURNEY[-1], id="once")
    await notify.receives(JOURNEY[-1], id="once")
    assert await told(notify) == TOLD
    deliveries = await notify.all(Delivery)
    assert len({delivery.message_id for delivery in deliveries}) == len(deliveries)


async def test_a_persons_messages_are_numbered_without_a_gap(notify: Harness) -> None:
    await notify.receives(*(said(OfferMade, offer_id=f"offer-{n}") for n in range(30)))
    assert [one["sequence"] for one in await messages(notify)] == list(range(1, 31))


async def test_two_partitions_at_once_number_one_person_without_a_gap(notify: Harness) -> None:
    def shift(n: int) -> ShiftStarted:
        return said(ShiftStarted, placement_id=f"placement-{n}")

    def due(n: int) -> PayDue:
        return said(PayDue, placement_id=f"placement-{n}", worker_id=f"worker-{n}")

    await asyncio.gather(
        notify.receives(*(shift(n) for n in range(20))),
        notify.receives(*(due(n) for n in range(20))),
        notify.receives(*(said(OfferMade, offer_id=f"offer-{n}", worker_id=EMPLOYER) for n in range(20))),
    )
    assert [one["sequence"] for one in await messages(notify, EMPLOYER)] == list(range(1, 61))


async def test_a_contact_points_language_comes_before_the_requests(notify: Harness) -> None:
    await notify.receives(said(OfferMade))
    assert (await messages(notify, accept_language="en"))[0]["text"].startswith("New offer")
    assert (await messages(notify, accept_language="zh"))[0]["text"].startswith("新邀约")
    await reach(notify, language="zh")
    assert (await messages(notify, accept_language="en"))[0]["text"].startswith("新邀约")


async def test_a_message_names_what_it_is_about(notify: Harness) -> None:
    await notify.receives(said(OfferMade))
    [message] = await messages(notify)
    offer = said(OfferMade)
    assert message["refs"] == {"offer_id": offer.offer_id, "gig_id": offer.gig_id}
    assert message["kind"] == "offer-made"


@pytest.mark.parametrize("reason", ["time", "gone", "busy", "amended"])
async def test_an_offer_that_ends_without_loss_is_not_told(notify: Harness, reason: str) -> None:
    await notify.receives(said(OfferMade), said(OfferExpired, reason=reason))
    assert await told(notify) == [("offer-made", "worker")]


@pytest.mark.parametrize("reason", ["filled", "closed", "unconfirmed"])
async def test_an_offer_that_is_lost_is_told_in_the_list_only(notify: Harness, reason: str) -> None:
    await reach(notify)
    await notify.receives(said(OfferMade), said(OfferExpired, reason=reason))
    assert await told(notify) == [("offer-expired", "worker"), ("offer-made", "worker")]
    assert [delivery.about.split(":")[0] for delivery in await notify.all(Delivery)] == ["offer-made"]


async def test_the_end_of_an_offer_that_was_never_told_is_not_told(notify: Harness) -> None:
    await notify.receives(said(OfferExpired, reason="filled"))
    assert await told(notify) == []


async def test_an_event_that_overtook_its_placement_is_told_with_the_title_once_that_is_there(notify: Harness) -> None:
    await notify.receives(said(AgreementMade))
    [first] = await messages(notify, accept_language="en")
    assert "your gig" in first["text"]
    await notify.receives(said(PlacementMade))
    assert "快件分拣员" in (await messages(notify, accept_language="en"))[0]["text"]


async def test_a_gig_that_fills_again_is_told_again(notify: Harness) -> None:
    await notify.receives(said(GigPosted), said(GigFilled), said(GigFilled), said(GigReopened), said(GigReopened))
    await notify.receives(said(GigFilled), said(GigFilled))
    assert await told(notify) == [("gig-filled", "employer"), ("gig-filled", "employer")]


async def test_a_gig_is_called_by_its_newest_title(notify: Harness) -> None:
    terms = said(GigPosted).terms.model_copy(update={"title": "夜班分拣员"})
    await notify.receives(
        said(GigPosted), said(GigAmended, terms=terms.model_dump()), said(GigClosed, reason="expired")
    )
    [message] = await messages(notify, EMPLOYER, accept_language="zh")
    assert message["text"] == "「夜班分拣员」已停止招工：已过有效期。"


async def test_an_employer_hears_of_each_verification_and_each_suspension(notify: Harness) -> None:
    first = said(EmployerVerified)
    second = said(EmployerVerified, verified_until=first.verified_until + timedelta(days=180))
    await notify.receives(first, first, said(EmployerSuspended), second, second, said(EmployerSuspended))
    assert [one["kind"] for one in await messages(notify, EMPLOYER)] == [
        "employer-verified",
        "employer-suspended",
        "employer-verified",
        "employer-suspended",
    ]


@pytest.mark.feature("F6")
async def test_an_employer_is_told_each_time_that_its_verification_ends_soon(notify: Harness) -> None:
    month = said(EmployerVerificationEnding, verified_until="2027-05-22T22:00:00Z", days_left=30)
    week = said(EmployerVerificationEnding, verified_until="2027-05-22T22:00:00Z", days_left=7)
    await notify.receives(month, month, week)
    assert [one["text"] for one in await messages(notify, EMPLOYER, accept_language="zh")] == [
        f"贵单位的核验将于 5月23日 06:00 到期（还有 {days} 天），届时不能发布招工，未结束的招工将关闭。"
        "请在此前到市场窗口重新核验。"
        for days in (30, 7)
    ]


async def test_messages_are_read_by_their_person_only_page_by_page(notify: Harness) -> None:
    await notify.receives(*(said(OfferMade, offer_id=f"offer-{n}") for n in range(5)))
    seen, after = [], None
    for _ in range(3):
        params = {"limit": "2", **({"after": str(after)} if after else {})}
        page = (await notify.http.get("/messages", params=params, headers=notify.as_("worker", WORKER))).json()
        seen += [one["sequence"] for one in page["items"]]
        after = page["next"]
    assert (seen, after) == ([5, 4, 3, 2, 1], None)
    assert await messages(notify, "worker-2") == []
    assert (await notify.http.get("/messages")).status_code == 401


async def test_stored_messages_hold_facts_and_no_address(notify: Harness) -> None:
    await reach(notify)
    await notify.receives(said(OfferMade))
    [message] = await notify.all(Message)
    [delivery] = await notify.all(Delivery)
    assert message.facts["amount_fen"] == said(OfferMade).terms.pay.amount_fen
    assert "1990000" not in f"{message!r}{delivery!r}"


@pytest.mark.feature("F24")
async def test_each_reminder_is_told_and_not_sent_after_its_time(notify: Harness) -> None:
    await reach(notify)
    await notify.receives(said(PlacementMade))
    for reminder in (1, 2, 2):
        await notify.receives(said(AttendanceAsked, reminder=reminder))
    asked = [one["text"] for one in await messages(notify) if one["kind"] == "attendance-asked"]
    assert len(asked) == 2
    assert all("确认到岗" in text for text in asked)
    sent = [each for each in await notify.all(Delivery) if each.about.startswith("attendance-asked")]
    assert [each.give_up_at for each in sent] == [said(AttendanceAsked).answer_by] * 2


async def test_an_employer_hears_of_arrears_and_of_no_other_case(notify: Harness) -> None:
    arrears = said(CaseOpened)
    of_another_kind = arrears.model_copy(update={"case_id": "case-2", "kind": "discrimination"})
    of_nobody_known = arrears.model_copy(update={"case_id": "case-3", "employer_id": None, "placement_id": None})
    await notify.receives(of_another_kind, of_nobody_known)
    assert await told(notify) == [("case-opened", "worker")] * 2
    await notify.receives(arrears)
    assert await told(notify) == [("case-opened", "employer"), *[("case-opened", "worker")] * 3]


async def test_pay_that_is_contested_again_is_told_again(notify: Harness) -> None:
    await notify.receives(said(PlacementMade))
    before = len(await told(notify))
    for at in ("2026-11-24T02:00:00Z", "2026-11-24T02:00:00Z", "2026-11-24T05:00:00Z"):
        await notify.receives(said(PayContested, at=at))
    assert len(await told(notify)) == before + 2
