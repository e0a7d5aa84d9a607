"""An agreement in words: every term of the text and no other, whatever people have written into it."""

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rights import document
from services.rights.document import Language, Paper, as_html, as_pdf, paper
from services.rights.domain import agreement_text, sha256
from shared.contracts.terms import PayMode, PayUnit
from tests.service.rights.placements import placement_made

pytestmark = pytest.mark.feature("F20")

ZONE = ZoneInfo("Asia/Shanghai")


def made(language: Language = "zh", *, void_at: datetime | None = None, **terms: Any) -> Paper:
    text = agreement_text(placement_made(**terms))
    return paper(text, sha256(text), void_at, language=language, zone=ZONE)


def words_of(pdf: bytes) -> str:
    """What a PDF that is not packed shows: strings in UCS-2, as its fonts' encoding says."""
    found = re.findall(rb"\(((?:[^()\\]|\\.)*)\) Tj", pdf, re.DOTALL)
    escaped = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8)]) if len(code) == 3 else {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(code, code)

    return "".join(escaped.sub(plain, part).decode("utf-16-be") for part in found)


@pytest.fixture
def _unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reportlab.rl_config.pageCompression", 0)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "zh",
            [
                "用工协议",
                "20.00 元/小时",
                "日结",
                "2026-11-23 08:00 – 2026-11-23 16:00",
                "长沙示例仓储有限公司",
                "Asia/Shanghai",
            ],
        ),
        (
            "en",
            [
                "Work agreement",
                "20.00 yuan an hour",
                "the same day",
                "2026-11-23 08:00 – 2026-11-23 16:00",
                "长沙示例仓储有限公司",
            ],
        ),
    ],
)
@pytest.mark.usefixtures("_unpacked")
def test_the_page_and_the_pdf_say_the_terms_and_the_hash(language: Language, said: list[str]) -> None:
    found = made(language)
    html, pdf = unescape(as_html(found)), words_of(as_pdf(found))
    for words in [*said, found.sha256]:
        assert words in html
        assert words.replace(" ", "") in pdf.replace(" ", "")
    assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in html


def test_the_text_in_the_page_has_the_hash_that_the_page_names() -> None:
    html = as_html(made(content="搬运 <b>重物</b> & \"清点\" 'x'"))
    [text] = re.findall(r"<pre>(.*)</pre>", html, re.DOTALL)
    [named] = re.findall(r"<code>(.*)</code>", html)
    assert sha256(unescape(text).encode()) == named


def test_every_term_has_its_place() -> None:
    """A term that is added to gigs is added here, or this fails."""
    rows = " ".join(value for _, value in made(skills=("forklift",), certificates=("food-handler",)).rows)
    agreed = orjson.loads(agreement_text(placement_made(skills=("forklift",), certificates=("food-handler",))))
    shown_in_words = {"period", "pay", "meals", "lodging", "night_work", "hazards", "crew", "valid_until", "place"}
    for name, value in agreed["terms"].items():
        if name not in shown_in_words:
            assert all(str(part) in rows for part in (value if isinstance(value, list) else [value])), name
    assert len(made().rows) == 22
    for name in ("placement_id", "offer_id", "gig_id", "worker_id", "employer_id", "district"):
        assert agreed[name] in rows


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("unit", list(PayUnit))
@pytest.mark.parametrize("mode", list(PayMode))
def test_all_ways_of_pay_have_words(language: Language, unit: PayUnit, mode: PayMode) -> None:
    values = [value for _, value in made(language, unit=unit, mode=mode, amount_fen=12_305).rows]
    assert any(value.startswith("123.05 ") for value in values)
    assert document.MODES[mode].say(language, {}) in values


@pytest.mark.usefixtures("_unpacked")
def test_a_void_agreement_says_so() -> None:
    void = made(void_at=datetime(2026, 11, 22, 23, 5, tzinfo=UTC))
    assert "已于 2026-11-23 07:05 作废" in as_html(void)
    assert "作废" in words_of(as_pdf(void))
    assert "作废" not in as_html(made())


def test_what_people_write_is_no_markup() -> None:
    html = as_html(made(title="<script>alert(1)</script>", content='"><img src=x onerror=alert(1)>&lt;'))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.usefixtures("_unpacked")
def test_a_pdf_marks_what_its_font_does_not_have() -> None:
    found = made(content="<para>招工 😀 𠮷野 <b>x</b>", title="a & b < c")
    shown = words_of(as_pdf(found))
    assert "<para>招工 〓 〓野 <b>x</b>" in shown
    assert "a & b < c" in shown
    assert "😀 𠮷野" in unescape(as_html(found))


def test_the_same_agreement_is_the_same_pdf() -> None:
    assert as_pdf(made()) == as_pdf(made())
    assert as_pdf(made()) != as_pdf(made(amount_fen=2001))


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2000))
def test_any_words_make_a_page_and_a_pdf(words: str) -> None:
    found = made(content=words, title=words[:200])
    assert as_pdf(found).startswith(b"%PDF-")
    assert as_html(found).endswith("</html>")
