"""The rules of signing in: phone numbers, limits, passwords. Plain functions; no clock, nothing random."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from shared.wording import Said

CODE_LIFE = timedelta(minutes=5)
CODE_TRIES = 5
"""Five tries at one of a million codes, ten codes a day: one guess in 20,000 a day at best."""

PASSWORD_LENGTH = range(12, 129)
"""Length instead of a mix of characters, as NIST SP 800-63B-4 (3.1.1.2) advises; an end, so that hashing is bounded."""

DIFFERENT_CHARACTERS = 5


@dataclass(frozen=True)
class Limit:
    """At most `times` in a span of `within` that begins with the first."""

    times: int
    within: timedelta


CODES_PER_PHONE = (
    Limit(1, timedelta(minutes=1)),
    Limit(5, timedelta(hours=1)),
    Limit(10, timedelta(days=1)),
)

PASSWORD_TRIES = (
    Limit(5, timedelta(minutes=1)),
    Limit(10, timedelta(minutes=15)),
    Limit(15, timedelta(hours=1)),
    Limit(30, timedelta(days=1)),
)
"""The lockout, which backs off: each step locks for longer. The right password clears it."""


class Window(BaseModel):
    """How much of a limit is used since the window opened."""

    model_config = ConfigDict(frozen=True)

    opened: datetime
    used: int


def spend(windows: Sequence[Window], limits: Sequence[Limit], now: datetime) -> tuple[list[Window], timedelta]:
    """Use one of every limit: the windows afterwards, and zero.

    When a limit is used up nothing is spent: the windows as they stand, and how long to wait.
    """
    open_now = [
        windows[i] if i < len(windows) and now < windows[i].opened + limit.within else Window(opened=now, used=0)
        for i, limit in enumerate(limits)
    ]
    full = [w.opened + limit.within - now for w, limit in zip(open_now, limits, strict=True) if w.used >= limit.times]
    if full:
        return open_now, max(full)
    return [Window(opened=w.opened, used=w.used + 1) for w in open_now], timedelta(0)


def _mobile(value: str) -> str:
    if not re.fullmatch(r"(?:\+86)?1[3-9][0-9]{9}", value):
        raise Said(
            "must be a mobile number of the mainland, such as +8619900001234",
            "应为大陆手机号，例如 +8619900001234",
        )
    return f"+86{value[-11:]}"


Phone = Annotated[str, AfterValidator(_mobile)]
"""A mainland mobile number, kept in E.164. Only these can get a code: nobody can make us send to expensive ones."""


def masked(phone: str) -> str:
    """A phone number as it may be shown to its owner: +86199****1234."""
    return f"{phone[:6]}****{phone[-4:]}"


def _username(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9._-]{2,31}", value):
        raise Said(
            "must have 3 to 32 characters: small letters, digits, dot, dash, underscore; a letter first",
            "应为 3 到 32 个字符：小写字母、数字、点、横线、下划线，以字母开头",
        )
    return value


Username = Annotated[str, AfterValidator(_username)]


def _area(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9](?:[0-9]{2}){0,2}", value):
        raise Said(
            "must be a code of GB/T 2260: a province (43), a city (4301) or a district (430102)",
            "应为 GB/T 2260 代码：省（43）、市（4301）或区县（430102）",
        )
    return value


Area = Annotated[str, AfterValidator(_area)]
"""A division by its code; one of two or four digits stands for every district below it."""


def same_password(password: str) -> str:
    """A password as it is hashed: however a keyboard composes its characters, the same (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def checked_password(username: str, password: str) -> str:
    """The password in the form that is hashed. Raises `Said` with what a good one would be."""
    password = same_password(password)
    if len(password) not in PASSWORD_LENGTH:
        least, most = PASSWORD_LENGTH[0], PASSWORD_LENGTH[-1]
        raise Said(f"must have {least} to {most} characters", f"长度应为 {least} 到 {most} 个字符")
    if username in password.lower():
        raise Said("must not contain the username", "不得包含用户名")
    if len(set(password)) < DIFFERENT_CHARACTERS:
        raise Said(
            f"must have at least {DIFFERENT_CHARACTERS} different characters",
            f"至少应有 {DIFFERENT_CHARACTERS} 个不同的字符",
        )
    return password
