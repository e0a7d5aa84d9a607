import string
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from services.notify import handlers
from services.notify.texts import DIGEST_LENGTH, TEMPLATES, Fact, Template, digest, say
from shared.contracts import Event
from shared.contracts.identity import AccountErased
from shared.contracts.notify import AlertRaised, AlertWithdrawn, NoticePosted
from shared.contracts.posting import GigAmended, GigPosted, GigReopened
from shared.contracts.workers import WorkerCheckedIn, WorkerCheckedOut

CHANGSHA = ZoneInfo("Asia/Shanghai")
ONLY_REMEMBERED: set[type[Event]] = {
    GigPosted,
    GigAmended,
    GigReopened,
    WorkerCheckedIn,
    WorkerCheckedOut,
    AccountErased,
}
BY_COMMAND: set[type[Event]] = {AlertRaised, AlertWithdrawn, NoticePosted}


def kind_of(event: type[Event]) -> str:
    return event.type.split(".")[1]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_event_that_is_told_has_its_template_and_no_template_is_left_over() -> None:
    told = {kind_of(event) for event in (set(handlers.react.kinds.values()) | BY_COMMAND) - ONLY_REMEMBERED}
    assert told == set(TEMPLATES)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_both_languages_say_the_same_facts(kind: str) -> None:
    template = TEMPLATES[kind]
    sentences = [sentence for sentence in (template.worker, template.employer) if sentence]
    assert sentences
    for sentence in sentences:
        assert placeholders(sentence.zh) == placeholders(sentence.en)
        assert any("\u4e00" <= letter <= "\u9fff" for letter in sentence.zh)
        assert not any("\u4e00" <= letter <= "\u9fff" for letter in sentence.en)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_words_are_for_facts_that_are_said(kind: str) -> None:
    template = TEMPLATES[kind]
    used = {name for one in (template.worker, template.employer) if one for name in placeholders(one.zh)}
    assert set(template.words) <= used


OFFER: dict[str, Fact] = {
    "title": "快件分拣员（日结）",
    "employer_name": "星城示例快递有限公司",
    "address": "长沙市芙蓉区示例路 8 号",
    "start": datetime(2026, 11, 23, 14, 0, tzinfo=UTC),
    "end": datetime(2026, 11, 23, 22, 0, tzinfo=UTC),
    "amount_fen": 2505,
    "unit": "hour",
    "expires_at": datetime(2026, 11, 22, 23, 5, tzinfo=UTC),
}


def test_an_offer_in_chinese_and_english() -> None:
    assert say("offer-made", "worker", "zh", OFFER, CHANGSHA) == (
        "新邀约：星城示例快递有限公司「快件分拣员（日结）」，11月23日 22:00 至 06:00，25.05 元/小时，"
        "长沙市芙蓉区示例路 8 号。请在 07:05 前答复。"
    )
    assert say("offer-made", "worker", "en", OFFER, CHANGSHA) == (
        "New offer: 快件分拣员（日结） at 星城示例快递有限公司, 23 Nov 22:00 to 06:00, ¥25.05 per hour, "
        "长沙市芙蓉区示例路 8 号. Please answer by 07:05."
    )


def test_a_due_time_at_midnight_is_the_end_of_the_day_before() -> None:
    facts: dict[str, Fact] = {
        "title": "分拣",
        "amount_fen": 16_000,
        "due_at": datetime(2026, 11, 30, 16, 0, tzinfo=UTC),
    }
    said = say("pay-due", "worker", "en", facts, CHANGSHA)
    assert said == "You have earned ¥160.00 for 分拣. The employer must pay it by the end of 30 Nov."


def test_a_title_that_is_not_known_is_a_gig() -> None:
    assert "your gig" in say("agreement-made", "worker", "en", {"starts_at": datetime.now(UTC)}, CHANGSHA)


def test_a_code_without_words_of_its_own_has_others_or_is_an_error() -> None:
    assert "please ask" in say("employer-suspended", "employer", "en", {"reason": "something-new"}, CHANGSHA)
    with pytest.raises(LookupError):
        say("offer-expired", "worker", "en", {"title": "分拣", "reason": "something-new"}, CHANGSHA)


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(LookupError):
        say("pay-due", "worker", "zh", {"title": "分拣"}, CHANGSHA)


def test_a_text_cannot_be_made_to_say_more_by_its_facts() -> None:
    facts = OFFER | {"title": "{employer_name.__class__} {0}"}
    assert "{employer_name.__class__} {0}" in say("offer-made", "worker", "zh", facts, CHANGSHA)


def test_a_template_for_nobody_is_refused() -> None:
    with pytest.raises(ValidationError, match="a text for somebody"):
        Template.model_validate({"outward": True})


def test_a_clerks_text_is_said_in_the_readers_language() -> None:
    facts: dict[str, Fact] = {"text_zh": "今晚缺人", "text_en": "People are needed tonight"}
    assert say("notice-posted", "worker", "zh", facts, CHANGSHA) == "【驿站通知】今晚缺人"
    assert say("notice-posted", "worker", "en", facts, CHANGSHA) == "Your station: People are needed tonight"


def test_a_digest_says_how_many_it_holds_and_leaves_to_the_app_what_has_no_room() -> None:
    assert digest(["一。", "二。"], "zh") == "今日消息 2 条：一。二。"
    whole = digest(["x" * 200] * 10, "en")
    assert whole.startswith("10 messages of today: ")
    assert whole.endswith("… and 6 more in the app.")
    assert len(whole) < DIGEST_LENGTH + 100


def test_urgent_is_what_goes_outside() -> None:
    assert all(template.outward for template in TEMPLATES.values() if template.urgent)
