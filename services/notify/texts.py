"""Sentences for people: templates.yaml, checked when it is read, and how their facts are written out."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

Language = Literal["zh", "en"]
Part = Literal["worker", "employer"]
Fact = datetime | int | str
Facts = Mapping[str, Fact]


class Sentence(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: str
    en: str

    def in_(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


class Template(BaseModel):
    """What is said of one kind of event to whom. `words` gives codes among the facts their words.

    `urgent`: it goes out at any hour, and beyond a day's most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outward: bool
    urgent: bool = False
    words: Mapping[str, Mapping[str, Sentence]] = {}
    worker: Sentence | None = None
    employer: Sentence | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, part) for part in get_args(Part)):
            raise ValueError("a template needs a text for somebody")
        return self

    def sentence(self, part: Part) -> Sentence:
        found = self.worker if part == "worker" else self.employer
        if found is None:
            raise LookupError(f"no text for the {part}")
        return found


TEMPLATES: Mapping[str, Template] = TypeAdapter(dict[str, Template]).validate_python(
    yaml.safe_load((Path(__file__).parent / "templates.yaml").read_text("utf-8"))
)

DIGEST = Sentence(zh="今日消息 {count} 条：{texts}", en="{count} messages of today: {texts}")
MORE = Sentence(zh="……另有 {count} 条，请在应用内查看。", en="… and {count} more in the app.")
DIGEST_LENGTH = 900
"""Of characters; a provider of SMS takes a thousand as one message in parts."""

A_GIG = Sentence(zh="零工", en="your gig")
"""Stands for a title that is not known, when an event overtook the one that tells it."""


class _Moment:
    """A time in a template: `{start}` with its date, `{end:time}` its hour, `{due_at:day}` the last day before."""

    def __init__(self, at: datetime, language: Language) -> None:
        self._at, self._language = at, language

    def __format__(self, how: str) -> str:
        match how:
            case "time":
                return f"{self._at:%H:%M}"
            case "day":
                return self._day(self._at - timedelta(milliseconds=1))
            case _:
                return f"{self._day(self._at)} {self._at:%H:%M}"

    def _day(self, at: datetime) -> str:
        return f"{at.month}月{at.day}日" if self._language == "zh" else f"{at.day} {at:%b}"


def say(kind: str, part: Part, language: Language, facts: Facts, zone: ZoneInfo) -> str:
    """A kind of event as one sentence for a person. Raises LookupError for a text or fact that is missing."""
    template = TEMPLATES[kind]
    known: dict[str, Any] = {"title": A_GIG.in_(language), "seat": "–"}
    # A message from before a fact was added says what its absence meant.
    known |= {name: words["other"].in_(language) for name, words in template.words.items() if "other" in words}
    for name, fact in facts.items():
        if name == f"text_{language}":
            known["text"] = fact
        words = template.words.get(name)
        if isinstance(fact, datetime):
            known[name] = _Moment(fact.astimezone(zone), language)
        elif words is not None:
            known[name] = (words.get(str(fact)) or words["other"]).in_(language)
        elif name.endswith("_fen"):
            known[name] = f"{int(fact) // 100}.{int(fact) % 100:02d}"
        else:
            known[name] = fact
    return template.sentence(part).in_(language).format_map(known)


def digest(texts: Sequence[str], language: Language) -> str:
    """The messages of a day as one, as many as have room."""
    kept = list(texts[:1])
    for text in texts[1:]:
        if sum(map(len, kept)) + len(text) > DIGEST_LENGTH:
            break
        kept.append(text)
    if more := len(texts) - len(kept):
        kept.append(MORE.in_(language).format(count=more))
    return DIGEST.in_(language).format(count=len(texts), texts=("" if language == "zh" else " ").join(kept))
