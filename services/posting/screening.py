"""Screening of posts: which words of one break which rule (FEATURES.md, F5). Plain functions on plain data.

The rules are data (screening.yaml): by kind, words that break it, words at which a clerk must look, words that count
when the post as a whole reads as if it broke a rule (judge.py), and lawful wordings around which none of them count. A
post that reads so in words that nobody knew is for a clerk too.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ConfigDict

from services.posting.figures import NUMERAL, paid_too_little
from services.posting.judge import Judge, clauses_of
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Pay, PayUnit
from shared.problems import Fault, Text

Kind = Literal[
    "fee",
    "deposit",
    "sex",
    "age",
    "origin",
    "looks",
    "bait",
    "illegal",
    "contact",
    "minor",
    "minimum",
    "vague",
    "unclear",
]
"""`unclear`: no rule's own words, but the whole reads like posts that broke one."""
RULED = tuple(kind for kind in get_args(Kind) if kind != "unclear")
Field = Literal["title", "content", "pay"]


class Finding(BaseModel):
    """Words of a post that break a rule, for certain or perhaps. `words` stand in `field` as they were written."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    certain: bool
    field: Field
    words: str


# --- the text as it is meant ------------------------------------------------------------------------------------------

_VARIANTS = str.maketrans(
    "歲內證號費請驚淨係條個們來為從這時實後應務無學車書門開關買賣錢頭長東樂幾動見說話讓識當點選結簽帶壓",
    "岁内证号费请惊净系条个们来为从这时实后应务无学车书门开关买卖钱头长东乐几动见说话让识当点选结签带压",
)
_UNSEEN = frozenset("\u200b\u200c\u200d\u2060\ufe0f\u20e3")
_GAP = " /、.·*_|~-"
_SPACED = re.compile(
    rf"[\u4e00-\u9fff](?:[{re.escape(_GAP)}]{{1,3}}[\u4e00-\u9fff]){{2,}}|(?<![a-z0-9])[a-z](?: [a-z]){{2,}}(?![a-z])"
)


class Plain(NamedTuple):
    """A text without disguise, and where each of its characters stands in the original."""

    text: str
    at: tuple[int, ...]

    def original(self, written: str, start: int, end: int) -> str:
        """What was written where [start, end) of the plain text came from."""
        return written[self.at[start] : self.at[end - 1] + 1]


def plain(written: str) -> Plain:
    """Half width and lower case (NFKC), simplified, without invisible characters, s p a c e d words drawn together."""
    characters, at = [], []
    for place, character in enumerate(written):
        for meant in unicodedata.normalize("NFKC", character).lower().translate(_VARIANTS):
            if meant not in _UNSEEN:
                characters.append(meant)
                at.append(place)
    text = "".join(characters)
    gaps = {place for match in _SPACED.finditer(text) for place in range(*match.span()) if text[place] in _GAP}
    kept = [place for place in range(len(text)) if place not in gaps]
    return Plain("".join(text[place] for place in kept), tuple(at[place] for place in kept))


# --- the rules --------------------------------------------------------------------------------------------------------

_SHORTHAND = {
    "{N}": NUMERAL,
    "{c}": r"[^。!?\n,;:]",
    "{s}": r"[^。!?\n]",
}
"""In patterns: a figure in digits or Chinese, a character within a clause, one within a sentence."""

IF_NOT = Text(
    "If it is not so, say why in `appeal`, and a clerk will look.",
    "如有异议，请在 appeal 中说明理由，由工作人员审核。",
)


Level = Literal["block", "look", "doubt"]
"""`block`: it breaks the rule. `look`: a clerk must look. `doubt`: it counts when the whole reads as if it did."""


class Rule(BaseModel):
    """One kind: what it is called, its source, how to mend it, and the patterns that find it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Mapping[Literal["en", "zh"], str]
    basis: Mapping[Literal["en", "zh"], str]
    mend: Mapping[Literal["en", "zh"], str]
    block: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    doubt: tuple[str, ...] = ()
    lawful: tuple[str, ...] = ()

    @cached_property
    def patterns(self) -> dict[Level, re.Pattern[str]]:
        return {"block": _any(self.block), "look": _any(self.look), "doubt": _any(self.doubt)}

    @cached_property
    def spared(self) -> re.Pattern[str]:
        return _any(self.lawful)

    def hits(self, text: str) -> Iterator[tuple[Level, int, int]]:
        """Where a plain text may break it: how sure that is, from, to. Lawful wordings do not count."""
        for level, pattern in self.patterns.items():
            spans = (match.span() for match in pattern.finditer(text))
            yield from ((level, *span) for span in self.not_lawful(text, spans))

    def not_lawful(self, text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Those spans of a text that no lawful wording touches."""
        spared = [match.span() for match in self.spared.finditer(text)]
        for start, end in spans:
            if start < end and not any(low < end and start < high for low, high in spared):
                yield start, end


def _any(patterns: Sequence[str]) -> re.Pattern[str]:
    """One pattern for all of these, which matches nothing when there are none."""
    whole = "|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)"
    for short, meaning in _SHORTHAND.items():
        whole = whole.replace(short, meaning)
    return re.compile(whole)


class Floor(NamedTuple):
    """What an hour must pay at least in a district, in fen."""

    district: str
    fen: int

    def said(self, terms: GigTerms) -> Text:
        """The figure, and what it comes to for the whole shift when that is what is paid for."""
        hour, en, zh = f"¥{self.fen / 100:.2f}", "", ""
        if terms.pay.unit is PayUnit.day:
            hours = hours_of(terms)
            shift = f"¥{math.ceil(self.fen * hours) / 100:.2f}"
            en, zh = f", {shift} for this shift of {hours:g} hours", f"，本班次 {hours:g} 小时不低于 {shift}"
        return Text(
            f"In {self.district} an hour pays at least {hour}{en}. ",
            f"{self.district} 每小时不低于 {hour}{zh}。",
        )


WORKING_DAY = 8.0
"""A day's pay may be for a day that is short; it is no more to be believed for that."""


class Seen(NamedTuple):
    """What the patterns see in a post, and the texts they looked at."""

    findings: Mapping[Finding, Level]
    text: str
    clauses: tuple[tuple[Field, str], ...]
    """As they were written, with the field they stand in."""

    @property
    def plain_clauses(self) -> list[str]:
        return [plain(clause).text for _, clause in self.clauses]

    @property
    def cues(self) -> list[float]:
        """The same as figures from 0 to 1: by kind whether something is sure, is doubtful, and how much there is."""
        cues: list[float] = []
        for kind in RULED:
            sure = [level != "doubt" for finding, level in self.findings.items() if finding.kind == kind]
            cues += [float(any(sure)), float(not all(sure)), min(3, len(sure)) / 3]
        return cues


class Rules:
    """A version of the rules, and what they find in a post."""

    def __init__(self, data: Mapping[str, Any], judge: Judge) -> None:
        """`data` is the document screening.yaml. Raises ValueError for a rule that is not whole."""
        self.version: str = data["version"]
        self._judge = judge
        self._believable_fen: int = data["believable_hourly_fen"]
        self._rules = {kind: Rule.model_validate(data["kinds"][kind]) for kind in RULED}
        self._tasks = re.compile("|".join(sorted(map(re.escape, data["tasks"].split()), key=len, reverse=True)))

    def findings(self, terms: GigTerms, floor: Floor) -> tuple[Finding, ...]:
        """What breaks a rule for certain; and if the whole reads as if it may, also what is doubtful in it."""
        return self.look(terms.title, terms.content, terms.pay, hours_of(terms), floor.fen)

    def new_findings(self, terms: GigTerms, floor: Floor, before: GigTerms, floor_before: Floor) -> tuple[Finding, ...]:
        """What an amendment brings: words that stood there before have been looked at."""
        known = set(self.findings(before, floor_before))
        return tuple(finding for finding in self.findings(terms, floor) if finding not in known)

    def look(self, title: str, content: str, pay: Pay, hours: float, floor_fen: int) -> tuple[Finding, ...]:
        """As `findings`, for a post that is no gig yet; `hours` are the shift's, and one must pay `floor_fen`."""
        seen = self.see(title, content, pay, hours, floor_fen)
        score = self._judge.score(seen.text, seen.plain_clauses, seen.cues)
        doubts = score > self._judge.doubt_above
        found = [finding for finding, level in seen.findings.items() if doubts or level != "doubt"]
        if doubts and not found:
            field, clause = seen.clauses[self._judge.worst(seen.plain_clauses)]
            found = [Finding(kind="unclear", certain=False, field=field, words=clause)]
        return tuple(sorted(found, key=lambda finding: not finding.certain))

    def see(self, title: str, content: str, pay: Pay, hours: float, floor_fen: int) -> Seen:
        """What the patterns and the pay show, before anybody judges of it."""
        fields: dict[Field, str] = {"title": title, "content": content}
        found: dict[Finding, Level] = {}

        def find(kind: Kind, level: Level, field: Field, words: str) -> None:
            found.setdefault(Finding(kind=kind, certain=level == "block", field=field, words=words), level)

        for field, written in fields.items():
            text = plain(written)
            for kind, rule in self._rules.items():
                for level, start, end in rule.hits(text.text):
                    find(kind, level, field, text.original(written, start, end))
            spans = paid_too_little(text.text, hours, floor_fen / 100)
            for start, end in self._rules["minimum"].not_lawful(text.text, spans):
                find("minimum", "doubt", field, text.original(written, start, end))
        hourly = hourly_fen(pay, hours)
        if hourly is not None and hourly < floor_fen:
            find("minimum", "block", "pay", yuan(hourly))
        believed = hourly_fen(pay, max(hours, WORKING_DAY))
        if believed is not None and believed > self._believable_fen:
            find("bait", "look", "pay", yuan(believed))
        whole = plain(f"{title}\n{content}").text
        if not self._tasks.search(whole):
            find("vague", "doubt", "content", content)
        clauses = tuple((field, clause) for field, written in fields.items() for clause in clauses_of(written))
        return Seen(found, whole, clauses)

    def faults(
        self, findings: Sequence[Finding], appeal: str | None, terms: GigTerms, floor: Floor
    ) -> tuple[Fault, ...]:
        """What is certain, as it is said to the employer; nothing when it appeals: then a clerk decides."""
        return () if appeal else tuple(self._fault(finding, terms, floor) for finding in findings if finding.certain)

    def _fault(self, finding: Finding, terms: GigTerms, floor: Floor) -> Fault:
        rule, words = self._rules[finding.kind], finding.words
        wanted = floor.said(terms) if finding.kind == "minimum" else Text("", "")
        named = Text(f"{rule.name['en']} ({rule.basis['en']})", f"{rule.name['zh']}（{rule.basis['zh']}）")
        mend = Text(f"{wanted.en}{rule.mend['en']}. {IF_NOT.en}", f"{wanted.zh}{rule.mend['zh']}。{IF_NOT.zh}")
        text = Text(f"“{words}” {named.en}. {mend.en}", f"“{words}”：{named.zh}。{mend.zh}")
        return Fault(
            finding.field,
            Text(_braced(text.en), _braced(text.zh)),
            public=Text(_braced(f"{named.en}. {mend.en}"), _braced(f"{named.zh}。{mend.zh}")),
        )


@cache
def screening() -> Rules:
    """The rules and the model that come with this service."""
    here = Path(__file__)
    data = yaml.safe_load(here.with_name("screening.yaml").read_text("utf-8"))
    return Rules(data, Judge.model_validate_json(here.with_name("screening.model.json").read_text("utf-8")))


def hours_of(terms: GigTerms) -> float:
    return (terms.period.end - terms.period.start) / timedelta(hours=1)


def hourly_fen(pay: Pay, hours: float) -> float | None:
    """What an hour pays; None for piece work, where nobody knows."""
    match pay.unit:
        case PayUnit.hour:
            return pay.amount_fen
        case PayUnit.day:
            return pay.amount_fen / hours
    return None


def yuan(hourly: float) -> str:
    return f"¥{hourly / 100:.2f}/h"


def _braced(text: str) -> str:
    """A text whose braces are its own, not names of facts."""
    return text.replace("{", "{{").replace("}", "}}")
