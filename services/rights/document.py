"""Texts as people read them: a page to print and a PDF, in Chinese or English; an agreement's made of its text alone.

What counts is the text under the hash. The document adds no term to it and leaves none out, and names the hash, so
that whoever holds both can check one against the other: SHA-256 (FIPS 180-4) of the text's UTF-8 bytes. That an
agreement is written down, with these particulars, is 劳动合同法 art. 17 and 81 for labour contracts and the market's
rule for all of its work.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from io import BytesIO
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson
from fastapi import Response
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

from shared.contracts.posting import GigTerms
from shared.problems import Text

Language = Literal["zh", "en"]
Format = Literal["html", "pdf"]

KEPT_APART = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
}
"""A page of people's words: nothing runs in it, and nobody keeps it but who asked."""
FORMATS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}, "application/pdf": {"schema": {"type": "string"}}}}
}

TITLE = Text("Work agreement", "用工协议")
VOID = Text("Void since {at}", "已于 {at} 作废")
NOTHING = Text("none", "无")
YES, NO = Text("yes", "是"), Text("no", "否")
TIMES = Text("Times are of the zone {zone}.", "时间均为 {zone} 时区时间。")
CHECK = Text(
    "This document is made from the agreed text, which alone counts. SHA-256 of its UTF-8 bytes:",
    "本文书依据双方同意的协议原文生成，以原文为准。原文（UTF-8）的 SHA-256 值：",
)
AGREED = Text("The agreed text", "协议原文")

UNITS = {
    "hour": Text("{yuan} yuan an hour", "{yuan} 元/小时"),
    "day": Text("{yuan} yuan a day", "{yuan} 元/天"),
    "piece": Text("{yuan} yuan a piece", "{yuan} 元/件"),
}
MODES = {
    "same-day": Text("the same day", "日结"),
    "weekly": Text("weekly", "周结"),
    "monthly": Text("monthly", "月结"),
}

FONT = "STSong-Light"
"""One of the fonts for Chinese that a PDF may name without holding it (Adobe-GB1, ISO 32000-2, 9.7.5.2)."""
OUTSIDE = "〓"
"""Stands in a PDF, as in print, for a character that the font's encoding, UCS-2, does not have."""
registerFont(UnicodeCIDFont(FONT))

STYLE = (
    "body{font:16px/1.6 serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}"
    "h1{text-align:center}table{width:100%;border-collapse:collapse}"
    "th,td{border:1px solid #999;padding:.4em .6em;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th{width:11em;font-weight:normal;background:#f2f2f2}.void{text-align:center;color:#b00020;font-weight:bold}"
    "code,pre{font:12px/1.5 monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
    "@page{size:A4;margin:18mm}@media print{body{margin:0;max-width:none}}"
)


@dataclass(frozen=True)
class Paper:
    """What is read, in words. `rows` are labels and values, `void` is a line over all.

    `check` says what `sha256` is of, and `text` is that text itself, under the heading `agreed`; left out when empty.
    """

    language: Language
    title: str
    void: str
    rows: tuple[tuple[str, str], ...]
    times: str
    check: str
    sha256: str
    agreed: str
    text: str


def paper(text: bytes, sha256: str, void_at: datetime | None, *, language: Language, zone: ZoneInfo) -> Paper:
    """An agreement's text (`domain.agreement_text`) in words, with times of `zone`."""

    def say(text: Text, **facts: str) -> str:
        return text.say(language, facts)

    agreed = orjson.loads(text)
    return Paper(
        language=language,
        title=say(TITLE),
        void=say(VOID, at=moment(void_at, zone)) if void_at else "",
        rows=tuple((say(label), value) for label, value in _rows(agreed, language, zone)),
        times=say(TIMES, zone=zone.key),
        check=say(CHECK),
        sha256=sha256,
        agreed=say(AGREED),
        text=text.decode(),
    )


def _rows(agreed: Mapping[str, Any], language: Language, zone: ZoneInfo) -> Iterator[tuple[Text, str]]:
    def say(text: Text, **facts: str) -> str:
        return text.say(language, facts)

    def all_of(codes: tuple[str, ...]) -> str:
        return ("、" if language == "zh" else ", ").join(codes) or say(NOTHING)

    terms = GigTerms.model_validate(agreed["terms"])
    pay = terms.pay
    yuan = yuan_of(pay.amount_fen)
    yield Text("Placement", "用工编号"), agreed["placement_id"]
    yield Text("Agreed at", "达成时间"), moment(datetime.fromisoformat(agreed["agreed_at"]), zone)
    yield Text("Employer", "用工方"), f"{terms.employer_name} ({agreed['employer_id']})"
    yield Text("Worker", "劳动者"), agreed["worker_id"]
    yield Text("Gig and seat", "岗位与名额"), f"{agreed['gig_id']} / {agreed['seat']}"
    yield Text("Offer", "录用通知"), agreed["offer_id"]
    yield Text("Work", "工作"), f"{terms.title} ({terms.occupation})"
    yield Text("What is to be done", "工作内容"), terms.content
    yield (
        Text("Where", "工作地点"),
        f"{terms.place.address} ({agreed['district']}; {terms.place.lat}, {terms.place.lon})",
    )
    yield Text("When", "工作时间"), f"{moment(terms.period.start, zone)} – {moment(terms.period.end, zone)}"
    yield Text("Pay before tax", "税前报酬"), say(UNITS[pay.unit], yuan=yuan)
    yield Text("Paid", "结算方式"), say(MODES[pay.mode])
    yield Text("Meals", "提供用餐"), say(YES if terms.meals else NO)
    yield Text("Lodging", "提供住宿"), say(YES if terms.lodging else NO)
    yield Text("Night work", "夜班"), say(YES if terms.night_work else NO)
    yield Text("Skills", "技能要求"), all_of(terms.skills)
    yield Text("Certificates", "证书要求"), all_of(terms.certificates)
    yield Text("Hazards", "危害因素"), all_of(terms.hazards)
    yield Text("People wanted", "招用人数"), str(terms.headcount)
    yield Text("Fewest with whom it runs", "成组最少人数"), str(terms.crew.least) if terms.crew else say(NOTHING)
    yield Text("Hiring", "录用方式"), terms.hiring
    yield Text("The post was valid until", "岗位有效期至"), moment(terms.valid_until, zone)


async def answer(paper: Paper, format: Format, name: str) -> Response:
    """A page, or a PDF to keep under a name."""
    if format == "html":
        return Response(as_html(paper), media_type="text/html; charset=utf-8", headers=KEPT_APART)
    pdf = await asyncio.to_thread(as_pdf, paper)
    keep = {"content-disposition": f'attachment; filename="{name}-{paper.sha256[:12]}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=KEPT_APART | keep)


def as_html(paper: Paper) -> str:
    """A whole page that needs nothing else: no script, no address. Every value is escaped."""
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(value)}</td></tr>" for label, value in paper.rows)
    void = f'<p class="void">{escape(paper.void)}</p>' if paper.void else ""
    whole = f"<h2>{escape(paper.agreed)}</h2><pre>{escape(paper.text)}</pre>" if paper.text else ""
    return (
        f'<!doctype html><html lang="{"zh-CN" if paper.language == "zh" else "en"}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(paper.title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(paper.title)}</h1>{void}<table>{rows}</table>"
        f"<p>{escape(paper.times)}</p><p>{escape(paper.check)}<br><code>{paper.sha256}</code></p>"
        f"{whole}</body></html>"
    )


def as_pdf(paper: Paper) -> bytes:
    """The same on A4 pages; the same paper always gives the same bytes. Takes some tens of milliseconds."""
    plain = ParagraphStyle("plain", fontName=FONT, fontSize=10.5, leading=16, wordWrap="CJK")
    small = ParagraphStyle("small", plain, fontSize=7.5, leading=11)
    title = ParagraphStyle("title", plain, fontSize=20, leading=30, alignment=1, spaceAfter=4 * mm)
    void = ParagraphStyle(
        "void", plain, fontSize=13, alignment=1, spaceAfter=4 * mm, textColor=colors.HexColor("#b00020")
    )
    rows = [[_line(label, plain), _line(value, plain)] for label, value in paper.rows]
    table = Table(rows, colWidths=[38 * mm, 136 * mm])
    table.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.5, colors.HexColor("#999999")),
                ("BACKGROUND", (0, 0), (0, -1), colors.HexColor("#f2f2f2")),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    story = [
        _line(paper.title, title),
        *([_line(paper.void, void)] if paper.void else []),
        table,
        _line(paper.times, plain),
        _line(paper.check, plain),
        _line(paper.sha256, small),
        *([_line(paper.agreed, plain), _line(paper.text, small)] if paper.text else []),
    ]
    into = BytesIO()
    margin = 18 * mm
    SimpleDocTemplate(
        into,
        pagesize=A4,
        leftMargin=margin,
        rightMargin=margin,
        topMargin=margin,
        bottomMargin=margin,
        title=paper.title,
        author="快招 Kuaizhao",
        lang="zh-CN" if paper.language == "zh" else "en",
        invariant=1,
    ).build(story)
    return into.getvalue()


def _line(text: str, style: ParagraphStyle) -> Paragraph:
    """Text is no markup. What the font cannot show is marked, for the page shows it."""
    shown = "".join(c if ord(c) <= 0xFFFF and (c.isprintable() or c.isspace()) else OUTSIDE for c in text)
    return Paragraph(escape(shown, quote=False), style)


def yuan_of(amount_fen: int) -> str:
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"


def moment(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
