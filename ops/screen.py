"""What a terminal shows: aligned columns, times, in the language of its user."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.problems import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def language(environ: Mapping[str, str] = os.environ) -> str:
    """zh or en, by LC_ALL, LC_MESSAGES or LANG, whichever is set first."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def table(head: Sequence[Text], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of left-aligned columns, numbers to the right. A wide character takes two places."""
    cells = [[shown(cell) for cell in row] for row in rows]
    numbers = [all(isinstance(row[n], int | float) for row in rows) for n in range(len(head))]
    titles = [text.say(language(), {}) for text in head]
    widths = [max(width(line[n]) for line in (titles, *cells)) for n in range(len(head))]
    return [
        "  ".join(_pad(cell, widths[n], right=numbers[n]) for n, cell in enumerate(line)).rstrip()
        for line in (titles, *cells)
    ]


def shown(value: object) -> str:
    """A value on one line, without what could steer a terminal."""
    match value:
        case None | "":
            return "-"
        case datetime():
            return value.astimezone().isoformat(sep=" ", timespec="seconds")
        case float():
            return f"{value:.0f}"
        case _:
            return clean(str(value)).replace("\n", " ")


def clean(text: str) -> str:
    return _CONTROL.sub("?", text)


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _pad(cell: str, to: int, *, right: bool) -> str:
    space = " " * (to - width(cell))
    return space + cell if right else cell + space


def say(text: Text, **facts: Any) -> str:
    return text.say(language(), facts)
