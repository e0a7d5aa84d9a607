"""How well posts are screened; and the model that does part of it: `python -m bench.screening` trains it anew.

Posts are those of tests/data/screening. What is trained and tuned knows nothing of heldout.jsonl, which is for
measuring alone. Training takes two minutes and gives the same file each time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack

from services.posting.judge import CLAUSE, Judge, Weights, clauses_of, runs
from services.posting.screening import RULED, Finding, Seen, plain, screening
from shared.contracts.terms import Pay

ROOT = Path(__file__).parents[1]
POSTS = ROOT / "tests" / "data" / "screening"
RULES = screening()
FLOOR_FEN = 1_950
"""What an hour must pay where the labelled posts were written for."""
MODEL = ROOT / "services" / "posting" / "screening.model.json"

SEEN_TWICE = 2
KEPT_OF_WHOLE, KEPT_OF_CLAUSE = 8_000, 6_000
"""So many runs of characters keep a weight: those that weigh most."""
STRENGTH = 3.0
"""The inverse of the penalty on large weights (L2)."""
RUN_SCALE, CUE_SCALE, CLAUSE_SHARE = 3.0, 0.7, 0.3
"""How much a penalised weight may do, for runs and for cues; and the share of the worst clause."""
FOLDS = 6
UNSAID = frozenset({"vague", "minimum", "bait"})
"""Kinds that a post may break by what it does not say, or by its pay."""
SHORTEST = 4
CAUGHT = 0.96
"""In cross-validation a clerk sees this share of the posts that break a rule."""

Floats = NDArray[np.float64]


class Post(NamedTuple):
    """A labelled post, and what the patterns see in it."""

    title: str
    content: str
    pay: Pay
    hours: float
    labels: frozenset[str]
    words: tuple[str, ...]
    seen: Seen

    @property
    def found(self) -> tuple[Finding, ...]:
        return RULES.look(self.title, self.content, self.pay, self.hours, FLOOR_FEN)


def posts(*names: str) -> list[Post]:
    rows = [json.loads(line) for name in names for line in (POSTS / name).read_text("utf-8").splitlines()]
    return [_post(row) for row in rows]


def _post(row: dict[str, Any]) -> Post:
    pay = Pay.model_validate({"mode": "same-day", **row["pay"]})
    words = tuple(word for kind, found in row["words"].items() if kind != "vague" for word in found)
    seen = RULES.see(row["title"], row["content"], pay, row["hours"], FLOOR_FEN)
    return Post(row["title"], row["content"], pay, row["hours"], frozenset(row["labels"]), words, seen)


# --- measuring ------------------------------------------------------------------------------------------------------


def tell(name: str = "heldout.jsonl") -> None:
    """Print, for the half nothing was tuned on, how many posts are caught, by kind, and how many lawful ones."""
    judged = [(post, post.found) for post in posts(name)]
    broken = [(post, found) for post, found in judged if post.labels]
    lawful = [found for post, found in judged if not post.labels]
    print(f"screening: {len(broken)} posts that break a rule, {len(lawful)} lawful look-alikes ({name})")
    for kind in RULED:
        of_kind = [found for post, found in broken if kind in post.labels]
        named = sum(any(finding.kind == kind for finding in found) for found in of_kind)
        print(f"screening: {kind:9} caught {_share(map(bool, of_kind))}, named {named} of {len(of_kind)}")
    caught = _share(bool(found) for _, found in broken)
    refused = _share(any(finding.certain for finding in found) for _, found in broken)
    blocked = _share(any(finding.certain for finding in found) for found in lawful)
    doubted = _share(bool(found) for found in lawful)
    print(
        f"screening: caught {caught}, of all refused at once {refused}; "
        f"lawful refused {blocked}, refused or seen by a clerk {doubted}"
    )


def _share(hits: Iterable[bool]) -> str:
    all_hits = list(hits)
    return f"{sum(all_hits) / len(all_hits):.1%} ({sum(all_hits)} of {len(all_hits)})"


# --- training -------------------------------------------------------------------------------------------------------


def logistic(features: csr_array, yes: NDArray[np.bool_]) -> Floats:
    """Weights and, last, the intercept of an L2-penalised logistic regression; both classes weigh the same."""
    weigh = np.where(yes, 0.5 / yes.mean(), 0.5 / (~yes).mean())
    sign = np.where(yes, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * (features @ weights[:-1] + weights[-1])
        pull = -sign * weigh / (1 + np.exp(np.clip(margin, -30, 30)))
        gradient = np.append(STRENGTH * (features.T @ pull) + weights[:-1], STRENGTH * pull.sum())
        value = STRENGTH * (weigh * np.logaddexp(0, -margin)).sum() + 0.5 * (weights[:-1] ** 2).sum()
        return float(value), gradient

    start = np.zeros(features.shape[1] + 1)
    found: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found


def table(texts: Sequence[str], columns: dict[str, int]) -> csr_array:
    """A row for each text: 1/√n for each of the n runs in it that have a column."""
    places = [[columns[run] for run in sorted(runs(text)) if run in columns] for text in texts]
    counts = np.array([len(row) for row in places])
    values = np.repeat(RUN_SCALE / np.sqrt(np.maximum(counts, 1)), counts)
    flat = np.array([place for row in places for place in row], dtype=np.int64)
    return csr_array((values, flat, np.concatenate([[0], np.cumsum(counts)])), shape=(len(texts), len(columns)))


def weights_of(
    texts: Sequence[str], yes: NDArray[np.bool_], kept: int, cues: Floats | None = None
) -> tuple[Weights, Floats]:
    """A model over the runs of texts that were seen twice, and the weights of the cues beside them."""
    seen = Counter(run for text in texts for run in runs(text))
    vocabulary = sorted(run for run, times in seen.items() if times >= SEEN_TWICE)
    beside = [] if cues is None else [csr_array(cues * CUE_SCALE)]

    def fit(names: Sequence[str]) -> Floats:
        columns = {run: place for place, run in enumerate(names)}
        return logistic(csr_array(hstack([table(texts, columns), *beside])), yes)

    first = np.abs(fit(vocabulary)[: len(vocabulary)])
    names = [vocabulary[place] for place in sorted(np.argsort(-first, kind="stable")[:kept])]
    found = fit(names)
    weights = {run: round(float(weight) * RUN_SCALE, 2) for run, weight in zip(names, found, strict=False)}
    return Weights(intercept=round(float(found[-1]), 3), weights=weights), found[len(names) : -1] * CUE_SCALE


def without_words(post: Post) -> Post | None:
    """A post that breaks a rule, without the clauses that do: a lawful one of the same trade and voice.

    None when what it breaks stands in no words, or nothing that says the task is left.
    """
    if not post.words or post.labels & UNSAID:
        return None
    title, content = (_cut(text, lambda clause: not _holds(clause, post.words)) for text in (post.title, post.content))
    return _lawful(title, content, post)


def shorter(post: Post) -> Post | None:
    """The beginning of a lawful post, as somebody of few words would have written it."""
    few = set(list(clauses_of(post.content))[: 1 + len(post.content) % 3])
    return _lawful(post.title, _cut(post.content, lambda clause: clause in few), post)


def _cut(text: str, keep: Callable[[str], bool]) -> str:
    """A text without some of its clauses and the stops after them."""
    pieces = [
        text[start:end] for start, end in pairwise([*(match.start() for match in CLAUSE.finditer(text)), len(text)])
    ]
    return "".join(piece for piece in pieces if keep(next(clauses_of(piece)))).rstrip("，,；; ")


def _lawful(title: str, content: str, like: Post) -> Post | None:
    seen = RULES.see(title, content, like.pay, like.hours, FLOOR_FEN)
    if len(content) < SHORTEST or any(finding.kind == "vague" for finding in seen.findings):
        return None
    return Post(title, content, like.pay, like.hours, frozenset(), (), seen)


def with_lawful(of: Sequence[Post]) -> list[Post]:
    """The posts, and the lawful ones that are made of them: a model learns from both what the words are that matter."""
    made = [without_words(post) if post.labels else shorter(post) for post in of]
    return [*of, *(post for post in made if post)]


def trained(of: Sequence[Post], doubt_above: float = 0.0) -> Judge:
    on = with_lawful(of)
    whole, cues = weights_of(
        [post.seen.text for post in on],
        np.array([bool(post.labels) for post in on]),
        KEPT_OF_WHOLE,
        np.array([post.seen.cues for post in on]),
    )
    clauses = [(clause, post.words) for post in on for _, clause in post.seen.clauses]
    clause, _ = weights_of(
        [plain(written).text for written, _ in clauses],
        np.array([_holds(written, words) for written, words in clauses]),
        KEPT_OF_CLAUSE,
    )
    return Judge(
        trained_on=len(of),
        doubt_above=doubt_above,
        clause_share=CLAUSE_SHARE,
        whole=whole,
        clause=clause,
        cues=tuple(round(float(cue), 3) for cue in cues),
    )


def _holds(clause: str, words: Iterable[str]) -> bool:
    """Whether some of the words stand in a clause; they may span several."""
    return any(word in clause or clause in word for word in words)


def score(judge: Judge, post: Post) -> float:
    return judge.score(post.seen.text, post.seen.plain_clauses, post.seen.cues)


def cross_validated(of: Sequence[Post]) -> Floats:
    """The score of each post by a model that has not seen it."""
    found = np.zeros(len(of))
    for fold in range(FOLDS):
        judge = trained([post for place, post in enumerate(of) if place % FOLDS != fold])
        for place in range(fold, len(of), FOLDS):
            found[place] = score(judge, of[place])
    return found


def main(say: Callable[[str], None] = print) -> None:
    on = posts("training.jsonl", "tuning.jsonl")
    scores, broken = cross_validated(on), np.array([bool(post.labels) for post in on])
    doubt_above = round(float(np.quantile(scores[broken], 1 - CAUGHT)), 2)
    say(
        f"screening: trained on {len(on)} posts; by cross-validation a clerk sees, above {doubt_above}, "
        f"{(scores[broken] > doubt_above).mean():.1%} of those that break a rule and "
        f"{(scores[~broken] > doubt_above).mean():.1%} of the others"
    )
    MODEL.write_text(trained(on, doubt_above).model_dump_json(indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
