"""Whether a post reads like those that broke a rule: a linear model over runs of characters (bench/screening.py).

Patterns know the wordings that their writers thought of. What else people write is close to something that somebody
wrote before; how close, a logistic regression says. By itself it refuses nothing: a clerk looks.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

LONGEST_RUN = 4
CLAUSE = re.compile(r"[^。!?\n,，;；！？]+")


class Weights(BaseModel):
    """A linear model over the runs of a text: an intercept, and a weight of each run that it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intercept: float
    weights: Mapping[str, float]

    def score(self, text: str) -> float:
        """The log odds, before the intercept's own share of other features; 0 known runs give the intercept."""
        known = [self.weights[run] for run in runs(text) if run in self.weights]
        return self.intercept + (sum(known) / math.sqrt(len(known)) if known else 0.0)


class Judge(BaseModel):
    """The model: a text as a whole with what the patterns found in it, and its worst clause."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trained_on: int
    doubt_above: float
    clause_share: float
    whole: Weights
    clause: Weights
    cues: tuple[float, ...]

    def score(self, text: str, clauses: Sequence[str], cues: Sequence[float]) -> float:
        """How much it reads so. Texts are without disguise; `cues` say what the patterns found.

        Above `doubt_above` a clerk should look.
        """
        worst = max(map(self.clause.score, clauses), default=self.clause.intercept)
        found = sum(weight * cue for weight, cue in zip(self.cues, cues, strict=True))
        return self.whole.score(text) + found + self.clause_share * worst

    def worst(self, clauses: Sequence[str]) -> int:
        """Which clause reads worst, by its place."""
        return max(range(len(clauses)), key=lambda place: self.clause.score(clauses[place]))


def runs(text: str) -> set[str]:
    """Every run of one to four characters."""
    return {text[at : at + length] for length in range(1, LONGEST_RUN + 1) for at in range(len(text) - length + 1)}


def clauses_of(text: str) -> Iterator[str]:
    """The pieces of a text between its stops."""
    return (match[0] for match in CLAUSE.finditer(text))
