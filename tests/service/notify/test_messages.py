"""Who is told of what: once per person and event, in their language."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from services.notify.handlers import react
from services.notify.store import Delivery, Message
from shared.contracts import Event
from shared.contracts.identity import AccountErased
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
    ArticlePublished,
    CaseAdvanced,
    CaseClosed,
    CaseEscalated,
    CaseInvited,
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
    TimesheetEscalated,
    TimesheetLapsed,
    TimesheetSettled,
    TimesheetUnanswered,
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
    said(TimesheetUnanswered),
    said(TimesheetDisputed),
    said(TimesheetEscalated),
    said(TimesheetSettled),
    said(TimesheetLapsed),
    said(PayCorrected),
    said(PayOverdue),
    said(PayContested),
    said(CaseOpened),
    said(CaseAdvanced),
    said(CaseInvited),
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

TO_MANY: set[type[Event]] = {WorkerCheckedIn, WorkerCheckedOut, ArticlePublished}
"""What leads to messages for those near, or in groups: test_alerts.py, test_articles.py."""

TOLD = [
    ("agreement-made", "worker"),
    ("attendance-asked", "worker"),
    ("attendance-confirmed", "employer"),
    ("case-advanced", "employer"),
    ("case-advanced", "worker"),
    ("case-closed", "employer"),
    ("case-closed", "worker"),
    ("case-escalated", "employer"),
    ("case-escalated", "worker"),
    ("case-invited", "employer"),
    ("case-invited", "worker"),
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
    ("timesheet-escalated", "employer"),
    ("timesheet-escalated", "worker"),
    ("timesheet-lapsed", "employer"),
    ("timesheet-lapsed", "worker"),
    ("timesheet-settled", "employer"),
    ("timesheet-settled", "worker"),
    ("timesheet-unanswered", "employer"),
]


async def test_everyone_hears_of_what_concerns_them_in_both_languages(notify: Harness) -> None:
    assert {type(event) for event in JOURNEY} | TO_MANY | {AccountErased} == set(react.kinds.values())
    for event in JOURNEY:
        await notify.receives(event)
    assert await told(notify) == TOLD
    for person in (WORKER, EMPLOYER):
        for language in ("zh", "en"):
            texts = [one["text"] for one in await messages(notify, person, accept_language=language)]
            assert len(texts) == sum(part == ("worker" if person == WORKER else "employer") for _, part in TOLD)
            assert not any("{" in text or "}" in text for text in texts)
            titled = [text for text in texts if "快件分拣员" in text]
            assert len(titled) == len(texts) - (11 if person == EMPLOYER else 6)


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


@pytest.mark.feature("F10")
async def test_each_step_of_a_case_reaches_its_worker_and_an_employer_who_knows_of_it(notify: Harness) -> None:
    steps = [
        said(CaseAdvanced, state="accepted", step=2, employer_concerned=False),
        said(CaseEscalated, limit="mediation", employer_concerned=False),
        said(CaseAdvanced, state="mediation", step=3),
        said(CaseInvited, step=4),
        said(CaseAdvanced, state="referred", referred_to="arbitration", step=5),
        said(CaseAdvanced, state="accepted", referred_to="arbitration", step=6),
        said(CaseAdvanced, state="referred", referred_to="inspection", step=7),
        said(CaseClosed, outcome="decided"),
    ]
    for step in steps:
        of_another_kind = step.model_copy(update={"kind": "discrimination"})
        await notify.receives(of_another_kind)
        await notify.receives(of_another_kind)
    texts = [one["text"] for one in await messages(notify, accept_language="en")]
    assert texts == [
        "Case 261125-7K3M-9Q2F is accepted.",
        "The time for mediation in case 261125-7K3M-9Q2F ended on 2 Dec. The case has been escalated.",
        "Case 261125-7K3M-9Q2F is in mediation.",
        "Please come to the mediation of case 261125-7K3M-9Q2F at 1 Dec 09:30. "
        "Where it is, the case and the rights desk say.",
        "Case 261125-7K3M-9Q2F was referred to labour arbitration.",
        "Case 261125-7K3M-9Q2F is accepted.",
        "Case 261125-7K3M-9Q2F was referred to labour inspection.",
        "Case 261125-7K3M-9Q2F is closed: the authority decided it.",
    ]
    heard = [one["text"] for one in await messages(notify, EMPLOYER, accept_language="zh")]
    assert len(heard) == 6
    assert heard[0] == "贵单位涉及的维权案件 261125-7K3M-9Q2F 进入调解。"
    assert heard[1].startswith("贵单位涉及的维权案件 261125-7K3M-9Q2F 定于 12月1日 09:30 调解")


@pytest.mark.feature("F10")
async def test_an_invitation_for_another_time_is_told_again(notify: Harness) -> None:
    for step, starts_at in ((5, "2026-12-01T01:30:00Z"), (6, "2026-12-03T01:30:00Z"), (6, "2026-12-03T01:30:00Z")):
        await notify.receives(said(CaseInvited, step=step, starts_at=starts_at))
    assert await told(notify) == [("case-invited", "employer")] * 2 + [("case-invited", "worker")] * 2


@pytest.mark.feature("F18")
async def test_an_employer_is_reminded_of_minutes_that_will_stand(notify: Harness) -> None:
    await notify.receives(said(PlacementMade), said(TimesheetUnanswered))
    [*_, last] = await messages(notify, EMPLOYER, accept_language="en")
    assert last["text"].startswith("The 480 minutes of seat")
    assert "by 24 Nov 16:00; after that they stand as recorded" in last["text"]


async def test_pay_that_is_contested_again_is_told_again(notify: Harness) -> None:
    await notify.receives(said(PlacementMade))
    before = len(await told(notify))
    for at in ("2026-11-24T02:00:00Z", "2026-11-24T02:00:00Z", "2026-11-24T05:00:00Z"):
        await notify.receives(said(PayContested, at=at))
    assert len(await told(notify)) == before + 2


async def test_full_gigs_of_many_employers_are_told_of_with_as_many_questions_as_of_one(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = 0
    find = AsyncCollection.find

    def counted(self: Any, *what: Any, **how: Any) -> Any:
        nonlocal questions
        questions += 1
        return find(self, *what, **how)

    async def filled(many: int) -> int:
        nonlocal questions
        gigs = {f"gig-{many}-{n}": f"employer-{many}-{n}" for n in range(many)}
        terms = said(GigPosted).terms
        await notify.receives(
            *(
                said(GigPosted, gig_id=gig, terms=terms.model_copy(update={"employer_id": employer}))
                for gig, employer in gigs.items()
            )
        )
        questions = 0
        await notify.receives(*(said(GigFilled, gig_id=gig, employer_id=who) for gig, who in gigs.items()))
        return questions

    monkeypatch.setattr(AsyncCollection, "find", counted)
    assert await filled(1) == await filled(5)
    assert Counter(message.person_id for message in await notify.all(Message)) == Counter(
        {"employer-1-0": 1, **{f"employer-5-{n}": 1 for n in range(5)}}
    )
