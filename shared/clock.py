"""The only place that reads the clock and makes ids."""

from collections.abc import Callable
from datetime import UTC, datetime

from uuid_utils import uuid7

_source: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


def now() -> datetime:
    """This moment as an aware UTC datetime, to the millisecond (what MongoDB keeps)."""
    moment = _source().astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def set_source(source: Callable[[], datetime] | None) -> None:
    """Take the time from elsewhere (tests); None goes back to the machine's clock."""
    global _source
    _source = source or (lambda: datetime.now(UTC))


def new_id() -> str:
    """A new unique id that sorts by time (UUID version 7, RFC 9562)."""
    return str(uuid7())
