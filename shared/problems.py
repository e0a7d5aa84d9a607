"""What goes wrong, said so that a person can mend it: RFC 9457 problem details in the caller's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple


class Text(NamedTuple):
    """One sentence in English and Chinese. `{names}` are filled from the problem's facts."""

    en: str
    zh: str

    def say(self, language: str, facts: Mapping[str, Any]) -> str:
        return (self.zh if language == "zh" else self.en).format(**facts)


@dataclass(frozen=True)
class Fault:
    """One field that is wrong (`field` as a path such as `pay.amount_fen`) and what would be right.

    `public`: the same without words that were sent, for an event, when `text` quotes them.
    """

    field: str
    text: Text
    public: Text | None = None


class Problem(Exception):
    """A rule refused a command or an event. Trying the same again does not help.

    `status` is the HTTP status; `code` a stable machine name; `facts` figures that the text and the client may use.
    Raised over an event, it sends the event to the dead letters with this reason.
    """

    def __init__(self, status: int, code: str, text: Text, *, faults: tuple[Fault, ...] = (), **facts: Any) -> None:
        super().__init__(f"{code}: {text.say('en', facts)}")
        self.status, self.code, self.text, self.faults, self.facts = status, code, text, faults, facts

    def body(self, language: str) -> dict[str, Any]:
        """The problem as the members of an application/problem+json body."""
        return {
            "type": f"https://kuaizhao.local/problems/{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.text.say(language, self.facts),
            "code": self.code,
            **({"facts": self.facts} if self.facts else {}),
            **(
                {"errors": [{"field": f.field, "detail": f.text.say(language, self.facts)} for f in self.faults]}
                if self.faults
                else {}
            ),
        }


class Invalid(Problem):
    """422: one field breaks a rule that the schema cannot say."""

    def __init__(self, field: str, text: Text, *, code: str = "invalid-field", **facts: Any) -> None:
        super().__init__(422, code, text, faults=(Fault(field, text),), **facts)


class Missing(Problem):
    """404: there is no such thing, or it is not the caller's to see."""

    def __init__(self, what: Text) -> None:
        text = Text(f"There is no such {what.en}.", f"没有这个{what.zh}。")
        super().__init__(404, "not-found", text)


class Forbidden(Problem):
    """403: the caller is known, and this is not theirs to do."""

    def __init__(self, text: Text, *, code: str = "forbidden", **facts: Any) -> None:
        super().__init__(403, code, text, **facts)


class Conflict(Problem):
    """409: the state of things does not allow it, and `code` says why."""

    def __init__(self, code: str, text: Text, **facts: Any) -> None:
        super().__init__(409, code, text, **facts)
