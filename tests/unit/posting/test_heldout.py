"""What screening makes of posts that it was neither written nor trained by (F5's acceptance)."""

from collections import defaultdict

import pytest

from bench.screening import MODEL, posts
from services.posting.judge import Judge
from services.posting.screening import RULED


@pytest.mark.feature("F5")
def test_posts_that_break_a_rule_are_caught_and_lawful_ones_are_not_refused() -> None:
    caught: dict[str, list[bool]] = defaultdict(list)
    refused: list[bool] = []
    for post in posts("heldout.jsonl"):
        found = post.found
        for label in {"any", *post.labels} if post.labels else ():
            caught[label].append(bool(found))
        if not post.labels:
            refused.append(any(finding.certain for finding in found))
    assert set(caught) == {"any", *RULED}
    assert sum(map(len, caught.values())) >= 600
    assert len(refused) == 130
    assert sum(caught["any"]) / len(caught["any"]) >= 0.95
    assert {kind: sum(hits) / len(hits) for kind, hits in caught.items() if sum(hits) / len(hits) < 0.90} == {}
    assert sum(refused) / len(refused) <= 0.03


def test_the_model_is_of_all_posts_that_may_be_learned_from_and_of_no_other() -> None:
    model = Judge.model_validate_json(MODEL.read_text("utf-8"))
    learned, held_out = posts("training.jsonl", "tuning.jsonl"), posts("heldout.jsonl")
    assert model.trained_on == len(learned)
    assert {post.content for post in learned}.isdisjoint(post.content for post in held_out)
