"""Figures as people write them, 18.5 or 十八块五, and what a post says an hour or a day pays."""

import re
from collections.abc import Iterator

NUMERAL = r"(?:[0-9]+(?:\.[0-9]+)?|[零〇一二两俩三四五六七八九十百千万半拾佰仟壹贰叁肆伍陆柒捌玖]+)"
"""A pattern for a figure in digits or Chinese numerals."""

_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "俩": 2,
    **{character: value for value, character in enumerate("壹贰叁肆伍陆柒捌玖", 1)},
}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1_000, "仟": 1_000, "万": 10_000}

_CLAUSE = r"[^。!?\n,;:]"
_HOUR = r"(?:小时|小石|时(?!间|候)|h(?![a-z])|hr|个?钟头?|钟头)"
_HOURLY = re.compile(
    rf"(?:一个?|每个?|1个?)(?:小时|钟头?|个钟|小石){_CLAUSE}{{0,3}}?(?P<after>{NUMERAL})"
    rf"|(?P<before>{NUMERAL})(?P<yuan>元|块钱?|¥)?(?P<jiao>[五半])?(?:/|一个?|每个?|1个?|个)?{_HOUR}"
    rf"|(?:时薪|实发){_CLAUSE}{{0,2}}?(?P<named>{NUMERAL})"
)
_DAILY = re.compile(
    rf"(?P<before>{NUMERAL})(?:元|块)?(?:/|一|每)(?:天|日|晚|班|夜)"
    rf"|(?:一天|每天|日薪|一晚|全天){_CLAUSE}{{0,4}}?(?P<after>{NUMERAL})(?:元|块|$|[。,;!])"
)
_LEAST_HOURLY, _LEAST_DAILY = 5.0, 60.0
"""Below these a figure is no pay but a count: 3 hours, 10 boxes a day."""


def figure(text: str) -> float:
    """The value of a figure that matches NUMERAL: 18.5, 十八, 一百二 (120), 两千零五十, 半 (0.5)."""
    try:
        return float(text)
    except ValueError:
        pass
    whole, section, digit, unit, half = 0, 0, 0, 1, 0.0
    for character in text:
        if character in _DIGITS:
            digit, unit = _DIGITS[character], unit if _DIGITS[character] else 1
        elif character == "万":
            whole, section, digit, unit = (whole + section + digit) * 10_000, 0, 0, 10_000
        elif character in _UNITS:
            unit = _UNITS[character]
            section, digit = section + (digit or 1) * unit, 0
        else:
            half = 0.5
    return whole + section + digit * (unit // 10 if unit >= 100 else 1) + half


def paid_too_little(text: str, hours: float, hourly_floor: float) -> Iterator[tuple[int, int]]:
    """Where a text without disguise says that an hour, or a day of `hours`, pays less than the floor, in yuan."""
    for match in _HOURLY.finditer(text):
        named = match["before"] or match["after"] or match["named"]
        is_span = match["before"] and named.isdigit() and not match["yuan"] and "/" not in match[0]
        pay = figure(named) + (0.5 if match["yuan"] and match["jiao"] else 0.0)
        if _LEAST_HOURLY <= pay < hourly_floor and not (is_span and pay <= 12):
            yield match.span()
    for match in _DAILY.finditer(text):
        if _LEAST_DAILY <= figure(match["before"] or match["after"]) < hourly_floor * hours:
            yield match.span()
