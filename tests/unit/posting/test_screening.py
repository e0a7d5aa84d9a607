"""What the words of a post are taken for, however they are written."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.posting.figures import figure, paid_too_little
from services.posting.judge import Judge, Weights, runs
from services.posting.screening import RULED, Finding, Floor, Rule, Rules, plain, screening
from shared.contracts.terms import Pay
from tests.unit.posting.test_terms import terms

RULES = screening()
FLOOR_FEN = 1_950
FLOOR = Floor("430121", FLOOR_FEN)
PAID = Pay.model_validate({"amount_fen": 2_200, "unit": "hour", "mode": "same-day"})
TASK = "到件分拣，饮水和手套由用工方提供"

texts = st.text(
    st.sampled_from("分拣员1８岁女限交押金 /·。，！a v x V②\u200b歲") | st.characters(codec="utf-8"), max_size=60
)


def kinds(title: str, content: str, pay: Pay = PAID, hours: float = 8) -> dict[str, bool]:
    """The kinds that are found, and whether for certain."""
    found: dict[str, bool] = {}
    for finding in RULES.look(title, content, pay, hours, FLOOR_FEN):
        found[finding.kind] = found.get(finding.kind, False) or finding.certain
    return found


# --- the text without disguise --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("１８歲", "18岁"),
        ("限 女 性 报名", "限女性报名"),
        ("加·微·信", "加微信"),
        ("微\u200b信", "微信"),
        ("ＶＸ：abc", "vx:abc"),
        ("①③⑧", "138"),
        ("保洁 2 人", "保洁 2 人"),
        ("8-12 点", "8-12 点"),
    ],
)
def test_disguises_are_taken_off(written: str, meant: str) -> None:
    assert plain(written).text == meant


@given(texts)
def test_every_character_of_the_plain_text_comes_from_a_place_in_the_original(written: str) -> None:
    text = plain(written)
    assert len(text.text) == len(text.at)
    assert list(text.at) == sorted(text.at)
    assert all(0 <= place < len(written) for place in text.at)


def test_the_words_of_a_finding_are_as_they_were_written() -> None:
    finding = RULES.look("分拣员", f"{TASK}，女 性 优 先", PAID, 8, FLOOR_FEN)[0]
    assert finding == Finding(kind="sex", certain=True, field="content", words="女 性 优 先")


# --- what is refused, and what is not -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fee", "交服装费300元"),
        ("fee", "报名费50元"),
        ("deposit", "收押金200"),
        ("deposit", "押三天工资"),
        ("sex", "男士勿扰"),
        ("sex", "女性优先"),
        ("age", "85后优先"),
        ("origin", "只要本地人"),
        ("looks", "形象好气质佳"),
        ("bait", "日入过千"),
        ("contact", "微信号：kz_hr001"),
        ("minor", "15岁可以"),
        ("minimum", "试工三天没工资"),
    ],
)
def test_what_is_plainly_said_is_refused(kind: str, words: str) -> None:
    assert kinds("分拣员", f"{TASK}，{words}")[kind] is True


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("illegal", "刷单返佣"),
        ("age", "18-45岁"),
        ("minor", "初中生可"),
        ("fee", "先交300元服装费"),
        ("sex", "只招男工"),
    ],
)
def test_a_clerk_always_looks_at_words_that_seldom_are_lawful(kind: str, words: str) -> None:
    assert kinds("快递分拣员", f"快递包裹分拣装车，包午餐，{words}") == {kind: False}


@pytest.mark.parametrize(
    "words",
    [
        "不收任何费用，不押证件",
        "男女不限，年龄不限",
        "年满18周岁，夜班",
        "需健康证，体检费公司出",
        "能搬20公斤",
        "有事打12333",
        "外地人包住",
        "试工照付工资",
        "登记身份证当场归还",
    ],
)
def test_lawful_wordings_are_not_refused(words: str) -> None:
    assert True not in kinds("快件分拣员", f"{TASK}，{words}").values()


@pytest.mark.parametrize(
    ("title", "content"),
    [
        ("快递分拣员", "快递包裹分拣装车，包午餐"),
        ("保洁员", "写字楼保洁，早七点到十一点，工具公司提供"),
        ("洗碗工", "饭店洗碗，中午十一点到两点，包餐"),
        ("传单派发", "在地铁口派发超市传单，下午三点到七点"),
        ("收银员", "便利店收银，早班七点到三点，会用收银机"),
        ("搬家工人", "两居室搬家，有电梯，四小时"),
    ],
)
def test_an_ordinary_post_is_published_at_once(title: str, content: str) -> None:
    assert kinds(title, content) == {}


@pytest.mark.parametrize(
    ("pay", "hours", "found"),
    [
        ({"amount_fen": 1_949, "unit": "hour"}, 8, {"minimum": True}),
        ({"amount_fen": 1_950, "unit": "hour"}, 8, {}),
        ({"amount_fen": 15_599, "unit": "day"}, 8, {"minimum": True}),
        ({"amount_fen": 15_600, "unit": "day"}, 8, {}),
        ({"amount_fen": 20, "unit": "piece"}, 8, {}),
        ({"amount_fen": 20_000, "unit": "day"}, 0.5, {}),
        ({"amount_fen": 15_001, "unit": "hour"}, 2, {"bait": False}),
        ({"amount_fen": 120_001, "unit": "day"}, 4, {"bait": False}),
    ],
)
def test_an_hour_pays_the_floor_at_least_and_no_more_than_anybody_believes(
    pay: dict[str, Any], hours: float, found: dict[str, bool]
) -> None:
    assert kinds("快递分拣员", TASK, Pay.model_validate({"mode": "weekly", **pay}), hours) == found


def test_a_fault_says_words_rule_source_and_what_to_do_also_when_the_words_have_braces() -> None:
    finding = Finding(kind="fee", certain=True, field="title", words="{交} 300元")
    [fault] = RULES.faults([finding], None, terms(), FLOOR)
    assert fault.text.say("zh", {}).startswith("“{交} 300元”：向劳动者收费（《劳动合同法》第九条")
    assert "Labour Contract Law art. 9" in fault.text.say("en", {})
    assert fault.public is not None
    assert fault.public.say("zh", {}) == fault.text.say("zh", {}).removeprefix("“{交} 300元”：")
    assert RULES.faults([finding], "不是收费", terms(), FLOOR) == ()
    assert RULES.faults([finding.model_copy(update={"certain": False})], None, terms(), FLOOR) == ()


@given(texts, texts)
def test_screening_takes_any_text_and_finds_only_what_stands_in_it(title: str, content: str) -> None:
    for finding in RULES.look(title, content, PAID, 8, FLOOR_FEN):
        assert finding.words in {"title": title, "content": content, "pay": finding.words}[finding.field]


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18.5", 18.5), ("十八", 18), ("二十", 20), ("一百二", 120), ("一百零五", 105), ("两千零五十", 2050),
        ("三万五", 35_000), ("壹佰", 100), ("半", 0.5), ("两万三千四百", 23_400), ("俩", 2),
    ],
)  # fmt: skip
def test_a_figure_is_read_as_it_is_spoken(text: str, value: float) -> None:
    assert figure(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("实发12元/小时", ["实发12"]),
        ("一个小时给十五", ["一个小时给十五"]),
        ("十八块五一小时", ["十八块五一小时"]),
        ("一天120元", ["一天120元"]),
        ("干3小时", []),
        ("25元一小时", []),
        ("一天200元", []),
    ],
)
def test_pay_below_the_floor_is_found_in_the_text(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in paid_too_little(text, 8, 19.5)] == words


# --- rules and the judge --------------------------------------------------------------------------------------------


def test_lawful_words_spare_what_they_touch_and_nothing_else() -> None:
    rule = Rule.model_validate(
        {
            "name": {"en": "x", "zh": "x"}, "basis": {"en": "x", "zh": "x"}, "mend": {"en": "x", "zh": "x"},
            "block": ["交{N}元"], "doubt": ["交"], "lawful": ["不用交"],
        }
    )  # fmt: skip
    assert list(rule.hits("不用交三十元")) == []
    assert list(rule.hits("交三十元，不用交饭钱")) == [("block", 0, 4), ("doubt", 0, 1)]


def test_a_rule_that_is_not_whole_is_an_error() -> None:
    with pytest.raises(KeyError, match="fee"):
        Rules({"version": "1", "believable_hourly_fen": 1, "kinds": {}, "tasks": "x"}, judge())


def judge(**changes: Any) -> Judge:
    whole = {"intercept": -1.0, "weights": {"押": 4.0}}
    return Judge.model_validate(
        {
            "trained_on": 0, "doubt_above": 0.0, "clause_share": 0.5,
            "whole": whole, "clause": whole, "cues": [0.0] * 3 * len(RULED),
        }
        | changes
    )  # fmt: skip


def test_a_model_weighs_each_run_once_and_long_texts_no_more_than_short_ones() -> None:
    weights = Weights(intercept=-1.0, weights={"押": 4.0, "金": 0.0})
    assert weights.score("押押") == 3.0
    assert weights.score("押金") == pytest.approx(-1.0 + 4.0 / 2**0.5)
    assert weights.score("分拣") == -1.0
    assert runs("押金") == {"押", "金", "押金"}


def test_the_worst_clause_is_shown_when_no_pattern_knows_the_words() -> None:
    data = yaml.safe_load(
        """
        version: "1"
        believable_hourly_fen: 100000
        tasks: 分拣
        """
    )
    bare = {name: {"en": "x", "zh": "x"} for name in ("name", "basis", "mend")}
    rules = Rules(data | {"kinds": dict.fromkeys(RULED, bare)}, judge())
    assert rules.look("分拣员", "分拣，东西押老板那里，管饭", PAID, 8, FLOOR_FEN) == (
        Finding(kind="unclear", certain=False, field="content", words="东西押老板那里"),
    )
    assert rules.look("分拣员", "分拣，管饭", PAID, 8, FLOOR_FEN) == ()
