"""The twenty seeded traces of docs/matching.md, each against the other ways to decide and against knowing all."""

import pytest

from bench.matching.play import clairvoyant, grab, nearest, windows, worth
from bench.matching.report import WITHIN, gains_h, total
from bench.matching.traces import KINDS, SEEDS, Kind, trace
from services.matching.rules import default_rules

RULES = default_rules()


@pytest.mark.feature("F16")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_lost_than_by_grab_or_nearest_and_little_more_than_by_a_seer(kind: Kind, seed: int) -> None:
    """Of the same trace, what is gained is what is not lost."""
    market = trace(kind, seed)
    pairs = worth(market, RULES)
    gain_h = gains_h(market, pairs, RULES)
    ours = total(gain_h, windows(market, RULES))
    assert ours >= total(gain_h, grab(market, pairs, RULES))
    assert ours >= total(gain_h, nearest(market, pairs, RULES))
    assert ours >= (1 - WITHIN) * total(gain_h, clairvoyant(market, pairs.possible, gain_h))
