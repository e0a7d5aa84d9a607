"""The figures of the traces, as a table: by kind, and over all of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bench.matching.play import Pairs, Worth, clairvoyant, grab, nearest, windows, worth
from bench.matching.traces import KINDS, SEEDS, Kind, Trace, trace
from services.matching.engine import Floats
from services.matching.rules import Rules

POLICIES = {
    "grab": "first-come grab",
    "nearest": "greedy-nearest",
    "engine": "our engine",
    "no bonus": "our engine without the bonus for difficulty",
    "answers": "our engine, people who read and refuse",
    "optimum": "clairvoyant optimum",
}
UNSEEN = (5, 6, 7, 8)
"""Seeds of traces that nobody looked at when the weights were chosen."""

WITHIN = 0.03
"""How much more than the optimum may be lost, as a share of what that gains."""

FILLED_FIRST = 1000.0
"""More than any sum of scores could make up for one seat that stays empty, as in the engine."""


class Figures(NamedTuple):
    """One trace under one policy. Shares from 0 to 1."""

    fill: float
    way_m: float
    in_difficulty: float
    others: float
    """Of the people in difficulty, and of the others, how many have a gig in the end."""
    cost_h: float
    """Hours lost: the ways there and back of all who are placed, and a mean shift for each seat that stays empty."""
    cost_gap: float
    """How much more is lost than in the optimum, as a share of the hours that the optimum gains: shifts less ways."""
    score_gap: float
    """How much of the greatest sum of scores is missed, of assignments that fill as many seats as can be."""


def decided(market: Trace, pairs: Worth, rules: Rules) -> dict[str, Pairs]:
    """What each policy makes of a market that it sees as it comes."""
    return {
        "grab": grab(market, pairs, rules),
        "nearest": nearest(market, pairs, rules),
        "engine": windows(market, rules),
        "no bonus": windows(market, rules.model_copy(update={"hardship": 0.0})),
    }


def gains_h(market: Trace, pairs: Worth, rules: Rules) -> Floats:
    """The hours that each pair gains: a mean shift, less the way there and back."""
    hours: Floats = market.shift_h - 2 * pairs.distance_m / (60 * rules.travel_m_per_minute)
    return hours


def played(kind: Kind, seed: int, rules: Rules) -> dict[str, Figures]:
    """One trace under every policy."""
    market = trace(kind, seed)
    pairs = worth(market, rules)
    gain_h = gains_h(market, pairs, rules)
    optimum = clairvoyant(market, pairs.possible, gain_h)
    most_h = total(gain_h, optimum)
    most_score = total(pairs.score, clairvoyant(market, pairs.possible, FILLED_FIRST + pairs.score))

    def figures(found: Pairs) -> Figures:
        gained, people = total(gain_h, found), [person for _, person in found]
        has = np.isin(np.arange(len(market.arrives)), people)
        hard = market.people.tier > 0
        return Figures(
            fill=len(found) / market.seats,
            way_m=total(pairs.distance_m, found) / len(found),
            in_difficulty=float(has[hard].mean()),
            others=float(has[~hard].mean()),
            cost_h=market.seats * market.shift_h - gained,
            cost_gap=1 - gained / most_h,
            score_gap=1 - total(pairs.score, found) / most_score,
        )

    return {
        **{name: figures(found) for name, found in decided(market, pairs, rules).items()},
        "answers": figures(windows(trace(kind, seed, answering=True), rules)),
        "optimum": figures(optimum),
    }


def total(figures: Floats, pairs: Pairs) -> float:
    """The sum of these figures over pairs."""
    gigs, people = np.array(pairs, np.int64).reshape(-1, 2).T
    return float(figures[gigs, people].sum())


# --- as text ---------------------------------------------------------------------------------------------------------

Played = dict[tuple[Kind, int], dict[str, Figures]]

HEAD = """| market | who decides | seats filled | mean way | placed: in difficulty / others | cost gap | score gap |
|---|---|---|---|---|---|---|"""


def table(all_played: Played) -> str:
    """A Markdown table: each policy's means by kind, and over all."""
    groups = [(kind, [found for (of, _), found in all_played.items() if of == kind]) for kind in KINDS]
    rows = [HEAD]
    for kind, found in [*groups, ("all", list(all_played.values()))]:
        for policy, name in POLICIES.items():
            of = _mean([figures[policy] for figures in found])
            rows.append(
                f"| {kind} | {name} | {of.fill:.1%} | {of.way_m:,.0f} m | {of.in_difficulty:.1%} / {of.others:.1%} "
                f"| {of.cost_gap:.1%} | {of.score_gap:.1%} |"
            )
    return "\n".join(rows)


def claims(all_played: Played) -> list[str]:
    """In how many traces the aims are met, in sentences."""
    traces = list(all_played.values())
    said = []
    for other in ("grab", "nearest"):
        fill = sum(found["engine"].fill >= found[other].fill for found in traces)
        score = sum(found["engine"].score_gap <= found[other].score_gap for found in traces)
        worst = max(found[other].fill - found["engine"].fill for found in traces)
        costs = [{name: each.cost_h for name, each in found.items()} for found in traces]
        said.append(
            f"Against {POLICIES[other]}: {_costs(costs, 'engine', other)}; without the bonus it "
            f"{_costs(costs, 'no bonus', other)}. Fills no fewer seats in {fill} (at worst {max(worst, 0):.1%} of the "
            f"seats fewer), scores no less in {score}."
        )
    gaps = [found["engine"].cost_gap for found in traces]
    said.append(
        f"Against the clairvoyant optimum: cost within 3 % in {sum(gap <= WITHIN for gap in gaps)} of {len(gaps)} "
        f"traces, {np.mean(gaps):.1%} in the mean, {max(gaps):.1%} at worst."
    )
    return said


def kept(all_played: Played) -> bool:
    """Whether the engine costs no more than either of the others, and is within 3 % of the optimum, in every trace."""
    return all(
        found["engine"].cost_gap <= WITHIN
        and all(found["engine"].cost_h <= found[other].cost_h for other in ("grab", "nearest"))
        for found in all_played.values()
    )


def unseen(rules: Rules, seeds: Iterable[int] = UNSEEN) -> str:
    """The costs against the others in traces by which no weight was chosen, as a sentence."""
    costs = []
    for kind in KINDS:
        for seed in seeds:
            market = trace(kind, seed)
            pairs = worth(market, rules)
            gain_h, most_h = gains_h(market, pairs, rules), market.seats * market.shift_h
            costs.append({name: most_h - total(gain_h, found) for name, found in decided(market, pairs, rules).items()})
    return f"In {len(costs)} other traces, by which no weight was chosen: " + "; ".join(
        f"against {POLICIES[other]} it {_costs(costs, 'engine', other)}, without the bonus it "
        f"{_costs(costs, 'no bonus', other)}"
        for other in ("grab", "nearest")
    )


def _costs(costs: Sequence[dict[str, float]], one: str, other: str) -> str:
    ratios = [found[one] / found[other] for found in costs]
    kept = sum(ratio <= 1 for ratio in ratios)
    mean, worst = float(np.mean(ratios)) - 1, max(ratios) - 1
    return f"costs no more in {kept} of {len(ratios)} traces ({mean:+.1%} in the mean, {worst:+.1%} at worst)"


def _mean(figures: Sequence[Figures]) -> Figures:
    return Figures(*(float(np.mean(column)) for column in zip(*figures, strict=True)))


def play_all(rules: Rules, seeds: Iterable[int] = SEEDS) -> Played:
    return {(kind, seed): played(kind, seed, rules) for seed in seeds for kind in KINDS}
