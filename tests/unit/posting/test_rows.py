"""Files of posts as spreadsheets and programs write them, read row by row."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.posting.rows import COLUMNS, TEMPLATE, Row, Unfit, fen, read_csv, read_lines
from shared.problems import Problem

CHINA, URUMQI = ZoneInfo("Asia/Shanghai"), ZoneInfo("Asia/Urumqi")

HEADINGS = "来源编号,岗位名称,报酬（元）,计薪单位,结算方式,招聘人数,技能要求,包餐,开始时间"
CELLS = '"A-1","分拣员, 夜班",18.5,小时,日结,3,parcel-sorting、packing,是,2026/11/23 8:00'
READ = {
    "origin_id": "A-1",
    "title": "分拣员, 夜班",
    "pay": {"amount_fen": 1_850, "unit": "hour", "mode": "same-day"},
    "headcount": 3,
    "skills": ["parcel-sorting", "packing"],
    "meals": True,
    "period": {"start": "2026-11-23T08:00:00+08:00"},
}


def rows(text: str, encoding: str = "utf-8") -> list[Row]:
    return list(read_csv(text.encode(encoding), CHINA))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_read_as_its_spreadsheet_meant_it(encoding: str, end: str) -> None:
    assert rows(f"{HEADINGS}{end}{CELLS}{end}", encoding) == [Row(1, READ)]


def test_headings_are_chinese_or_english_or_both_and_in_any_order() -> None:
    assert rows("Title,ORIGIN_ID\n保洁,7") == [Row(1, {"title": "保洁", "origin_id": "7"})]
    columns = TEMPLATE.strip().split(",")
    assert len(columns) == len(COLUMNS)
    mixed = f"{columns[3]},来源编号\n保洁,7"
    assert rows(mixed) == [Row(1, {"title": "保洁", "origin_id": "7"})]


@pytest.mark.parametrize("line", ["标题,origin_id", "title,岗位名称", "title 来源编号", "", "title,,origin_id"])
def test_headings_that_nobody_knows_or_that_are_there_twice_are_named(line: str) -> None:
    with pytest.raises(Problem) as refused:
        rows(f"{line}\na,b")
    assert refused.value.code == "unknown-columns"


def test_an_empty_cell_says_nothing_but_where_none_is_an_answer() -> None:
    headings = "origin_id,title,skills,certificates,meals"
    assert rows(f"{headings}\n1,,,,") == [Row(1, {"origin_id": "1", "skills": [], "certificates": []})]
    assert rows(f"{headings}\n,,,,\n\n1,保洁") == [Row(1, {"origin_id": "1", "title": "保洁"})]


def test_what_cannot_be_read_is_a_fault_of_its_own_row() -> None:
    found = rows('origin_id,pay_yuan,meals\n1,18.555,maybe\n2,"a"b,是\n3,20,否,more\n4,20,否\n5,"20')
    assert [(row.number, [fault.field for fault in row.faults]) for row in found] == [
        (1, ["pay.amount_fen", "meals"]),
        (2, ["row"]),
        (3, ["row"]),
        (4, []),
        (5, ["row"]),
    ]
    assert found[3].sent == {"origin_id": "4", "pay": {"amount_fen": 2_000}, "meals": False}


def test_bytes_that_are_no_text_are_refused_whole() -> None:
    with pytest.raises(Problem) as refused:
        list(read_csv(b"title\n\xff\xff\xff", CHINA))
    assert refused.value.code == "unreadable-file"


@given(st.integers(0, 10**9 - 1), st.integers(0, 99))
def test_money_is_exact(yuan: int, cents: int) -> None:
    assert fen(f"{yuan}.{cents:02d}") == yuan * 100 + cents


@pytest.mark.parametrize(("cell", "value"), [("18", 1_800), ("18.5", 1_850), ("¥18.50", 1_850), ("0.07元", 7)])
def test_money_as_people_write_it(cell: str, value: int) -> None:
    assert fen(cell) == value


@pytest.mark.parametrize("cell", ["18.555", "1e3", "-5", "18,5", "十八", ".5", "1000000000", "NaN", "18."])
def test_what_is_no_money_is_refused(cell: str) -> None:
    with pytest.raises(Unfit):
        fen(cell)


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("2026-11-23 08:00", "2026-11-23T08:00:00+06:00"),
        ("2026/1/3 8:05:09", "2026-01-03T08:05:09+06:00"),
        ("2026年1月3日 8:05", "2026-01-03T08:05:00+06:00"),
        ("2026-11-23T08:00", "2026-11-23T08:00:00+06:00"),
        ("2026-11-23T08:00:00+08:00", "2026-11-23T08:00:00+08:00"),
        ("2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-13-40 08:00", "2026-13-40 08:00"),
        ("tomorrow", "tomorrow"),
    ],
)
def test_a_time_without_offset_is_of_the_regions_zone(cell: str, read: str) -> None:
    csv_file, lines = f"valid_until\n{cell}".encode(), f'{{"valid_until": "{cell}"}}'.encode()
    for found in (read_csv(csv_file, URUMQI), read_lines(lines, URUMQI)):
        assert list(found) == [Row(1, {"valid_until": read})]


def test_json_lines_are_read_one_by_one() -> None:
    lines = b'\xef\xbb\xbf{"origin_id": "1"}\r\n\r\n[1]\n{"a": NaN}\n{"origin_id": "2"}'
    found = read_lines(lines, CHINA)
    assert [(row.number, row.sent, bool(row.faults)) for row in found] == [
        (1, {"origin_id": "1"}, False),
        (2, {}, True),
        (3, {}, True),
        (4, {"origin_id": "2"}, False),
    ]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    for prefix in (b"", "岗位名称,title_x\n".encode(), b"title,origin_id,pay_yuan,start\n"):
        try:
            list(read_csv(prefix + body, CHINA))
        except Problem:
            continue
    assert all(row.number > 0 for row in read_lines(body, CHINA))
