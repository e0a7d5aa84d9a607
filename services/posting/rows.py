"""Files of posts as rows: CSV as spreadsheets write it, and JSON lines. Plain functions on bytes and text.

A row is what a single post would send, with an origin id; what cannot be read of it is a fault of that row alone.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from shared.problems import Fault, Problem, Text

ENCODINGS = ("utf-8-sig", "gb18030")
"""GB 18030 is what spreadsheets in Chinese write. Hardly any text in it is valid UTF-8, so that is tried first."""

UNREADABLE = Text(
    "The file is neither UTF-8 nor GB 18030 text. Save it as CSV in UTF-8.",
    "文件既不是 UTF-8 也不是 GB 18030 编码的文本，请另存为 UTF-8 编码的 CSV。",
)
NO_HEADINGS = Text(
    "The first line must name columns of the template; these are none or twice there: {wrong}",
    "首行应为模板中的列名；以下列名无法识别或重复：{wrong}",
)
ONE_ROW = Text("cannot be read as a row of the file: {why}", "无法读取为一行数据：{why}")
QUOTES = Text("its quotes do not close", "引号不成对")
LONGER = Text("it has more cells than there are headings", "单元格数多于列名数")
NO_OBJECT = Text("it is no JSON object", "不是 JSON 对象")
MONEY = Text("must be yuan with at most two decimals, such as 18.5", "应为元，最多两位小数，例如 18.5")
YES_OR_NO = Text("must be yes or no", "应为 是 或 否")


class Row(NamedTuple):
    """A row by its number, from 1 and without the headings; `faults`: what of it could not be read."""

    number: int
    sent: dict[str, Any]
    faults: tuple[Fault, ...] = ()


class Unfit(Exception):
    """A cell that does not say what its column holds."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


# --- cells ----------------------------------------------------------------------------------------------------------

_YUAN = re.compile(r"[¥￥]?(\d{1,9})(?:\.(\d{1,2}))?元?")
_WHOLE = re.compile(r"\d{1,9}")
_TIME = re.compile(r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2}))?")
_BETWEEN = re.compile(r"[\s,，;；、|]+")


def fen(cell: str) -> int:
    """Yuan as written, such as 18.5, in fen; exactly."""
    found = _YUAN.fullmatch(cell)
    if not found:
        raise Unfit(MONEY)
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def _whole(cell: str) -> int | str:
    return int(cell) if _WHOLE.fullmatch(cell) else cell  # else the form says what would be right


def _yes(cell: str) -> bool:
    word = cell.lower()
    if word in ("是", "有", "yes", "y", "true", "1"):
        return True
    if word in ("否", "无", "no", "n", "false", "0"):
        return False
    raise Unfit(YES_OR_NO)


def _several(cell: str) -> list[str]:
    return [word for word in _BETWEEN.split(cell) if word]


def _one_of(**words: str) -> Callable[[str], str]:
    """A word of ours for a Chinese one; what is neither stays, and the form says what would be right."""
    ours = {chinese: name.replace("_", "-") for name, chinese in words.items()}
    return lambda cell: ours.get(cell, cell)


def _text(cell: str) -> str:
    return cell


class Column(NamedTuple):
    """A column: its headings, which field of a post it is, and how a cell is read."""

    en: str
    zh: str
    field: str
    read: Callable[[str], Any] = _text
    may_be_empty: bool = False


COLUMNS = (
    Column("origin_id", "来源编号", "origin_id"),
    Column("credit_code", "统一社会信用代码", "credit_code"),
    Column("district", "区县代码", "district"),
    Column("title", "岗位名称", "title"),
    Column("occupation", "职业代码", "occupation"),
    Column("content", "工作内容", "content"),
    Column("address", "工作地址", "place.address"),
    Column("lat", "纬度", "place.lat"),
    Column("lon", "经度", "place.lon"),
    Column("start", "开始时间", "period.start"),
    Column("end", "结束时间", "period.end"),
    Column("headcount", "招聘人数", "headcount", _whole),
    Column("pay_yuan", "报酬（元）", "pay.amount_fen", fen),
    Column("pay_unit", "计薪单位", "pay.unit", _one_of(hour="小时", day="天", piece="件")),
    Column("pay_mode", "结算方式", "pay.mode", _one_of(same_day="日结", weekly="周结", monthly="月结")),
    Column("skills", "技能要求", "skills", _several, may_be_empty=True),
    Column("certificates", "证书要求", "certificates", _several, may_be_empty=True),
    Column("meals", "包餐", "meals", _yes),
    Column("lodging", "包住", "lodging", _yes),
    Column("night_work", "夜班", "night_work", _yes),
    Column("hazards", "危害因素", "hazards", _several, may_be_empty=True),
    Column("hiring", "录用方式", "hiring", _one_of(instant="即时录用", confirm="确认录用")),
    Column("valid_until", "有效期至", "valid_until"),
    Column("appeal", "申诉说明", "appeal"),
    Column("withdrawn", "撤回", "withdrawn", _yes),
)
_BY_HEADING = {heading: column for column in COLUMNS for heading in (column.en, column.zh)}
TIMES = ("period.start", "period.end", "valid_until")

TEMPLATE = ",".join(f"{column.zh} {column.en}" for column in COLUMNS) + "\r\n"
"""The headings of a file, in both languages; either alone will do, in any order."""


# --- files ----------------------------------------------------------------------------------------------------------


def decoded(body: bytes) -> str:
    """The text of a file. Raises a 422 `Problem` unreadable-file."""
    for encoding in ENCODINGS:
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Problem(422, "unreadable-file", UNREADABLE)


def read_csv(body: bytes, zone: ZoneInfo) -> Iterator[Row]:
    """The rows of a CSV file (RFC 4180); lines without any text are none. Times without offset are of `zone`.

    Raises a 422 `Problem` when the file is no text or its first line does not name columns.
    """
    all_cells = _cells(csv.reader(io.StringIO(decoded(body), newline=""), strict=True))
    headings = next(all_cells, None)
    columns = _columns(headings or [])
    number = 0
    for cells in all_cells:
        if cells is not None and not any(cells):
            continue
        number += 1
        if cells is None:
            yield _no_row(number, QUOTES)
        elif any(cells[len(columns) :]):
            yield _no_row(number, LONGER)
        else:
            yield _row(number, zip(columns, cells, strict=False), zone)


def read_lines(body: bytes, zone: ZoneInfo) -> Iterator[Row]:
    """The rows of JSON lines: each what a single post would send, with `origin_id`. Blank lines are none."""
    for number, line in enumerate(
        (line for line in body.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()), 1
    ):
        try:
            sent = orjson.loads(line)
        except orjson.JSONDecodeError:
            sent = None
        if isinstance(sent, dict):
            yield Row(number, _local(sent, zone))
        else:
            yield _no_row(number, NO_OBJECT)


def _cells(lines: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """Each line's cells without blanks around them; None for one that cannot be read."""
    while True:
        try:
            yield [cell.strip() for cell in next(lines)]
        except StopIteration:
            return
        except csv.Error:
            yield None


def _columns(headings: list[str]) -> list[Column]:
    found = [_column(heading) for heading in headings]
    columns = [column for column in found if column]
    twice = {column for column in columns if columns.count(column) > 1}
    wrong = [heading[:40] for heading, column in zip(headings, found, strict=True) if column is None or column in twice]
    if wrong or not columns:
        raise Problem(422, "unknown-columns", NO_HEADINGS, wrong=", ".join(wrong) or "–")
    return columns


def _column(heading: str) -> Column | None:
    """A column by its heading in either language, or in both."""
    words = {_BY_HEADING.get(word.lower()) for word in heading.split()}
    return words.pop() if len(words) == 1 else None


def _row(number: int, cells: Iterator[tuple[Column, str]], zone: ZoneInfo) -> Row:
    sent: dict[str, Any] = {}
    faults = []
    for column, cell in cells:
        if not cell and not column.may_be_empty:
            continue
        try:
            value = column.read(cell)
        except Unfit as unfit:
            faults.append(Fault(column.field, unfit.text))
            value = None
        _put(sent, column.field, value)
    return Row(number, _local(sent, zone), tuple(faults))


def _no_row(number: int, why: Text) -> Row:
    return Row(number, {}, (Fault("row", Text(ONE_ROW.en.format(why=why.en), ONE_ROW.zh.format(why=why.zh))),))


def _put(sent: dict[str, Any], field: str, value: Any) -> None:
    outer, _, inner = field.partition(".")
    if inner:
        sent.setdefault(outer, {})[inner] = value
    else:
        sent[outer] = value


def _local(sent: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The same, with times that name no offset as times of the zone."""
    row = {name: dict(part) if isinstance(part, dict) else part for name, part in sent.items()}
    for field in TIMES:
        outer, _, inner = field.partition(".")
        part, name = (row.get(outer), inner) if inner else (row, outer)
        if isinstance(part, dict) and isinstance(part.get(name), str):
            part[name] = _in_zone(part[name], zone)
    return row


def _in_zone(written: str, zone: ZoneInfo) -> str:
    found = _TIME.fullmatch(written)
    if not found:
        return written
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).isoformat()
    except ValueError:
        return written
