"""All figures of the engine: printed, or written into docs/matching.md between its marks."""

import re
from pathlib import Path

from bench.matching import fairness, report, speed
from bench.matching.play import windows
from bench.matching.traces import SEEDS, trace
from services.matching.rules import Rules, default_rules

PAGE = Path(__file__).parents[2] / "docs" / "matching.md"


def tell() -> bool:
    """Print every figure; a minute or two. Whether what F16 asks is kept in every trace."""
    rules = default_rules()
    played = report.play_all(rules)
    for text in (traces(played, rules), hardship(rules), lottery(rules), timing(rules)):
        print("\n".join(f"matching: {line}" for line in text.splitlines() if line))
    kept = report.kept(played)
    print(f"F16: never worse than grab or nearest, within 3 % of the optimum{'' if kept else ': BROKEN'}", flush=True)
    return kept


def write() -> None:
    """Put the figures that do not depend on the machine into docs/matching.md, and the time of a window."""
    rules, page = default_rules(), PAGE.read_text("utf-8")
    for name, text in {
        "traces": traces(report.play_all(rules), rules),
        "hardship": hardship(rules),
        "lottery": lottery(rules),
        "timing": timing(rules),
    }.items():
        page = replaced(page, name, text)
    PAGE.write_text(page, "utf-8")


def replaced(page: str, name: str, text: str) -> str:
    """The page with the text between the marks of that name. Raises ValueError if it has none."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    new, count = re.subn(rf"(?s){begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", page)
    if count != 1:
        raise ValueError(f"docs/matching.md has {count} places for {name}")
    return new


def traces(played: report.Played, rules: Rules) -> str:
    return "\n".join(
        [report.table(played), "", *(f"- {said}" for said in [*report.claims(played), report.unseen(rules)])]
    )


def hardship(rules: Rules) -> str:
    """Fill rates with the bonus and without, where people compete for seats."""
    rows = []
    for bonus in (rules.hardship, 0.0):
        filled = seats = 0
        placed = {True: 0, False: 0}
        there = {True: 0, False: 0}
        for seed in SEEDS:
            market = trace("plentiful", seed)
            found = windows(market, rules.model_copy(update={"hardship": bonus}))
            filled, seats = filled + len(found), seats + market.seats
            tiers = market.people.tier > 0
            for _, person in found:
                placed[bool(tiers[person])] += 1
            for group in (True, False):
                there[group] += int((tiers == group).sum())
        hard, rest = placed[True] / there[True], placed[False] / there[False]
        rows.append(
            f"- Bonus {bonus:g}: {hard:.1%} of the people in difficulty are placed and {rest:.1%} of the others "
            f"({100 * (hard - rest):+.1f} points); {filled / seats:.1%} of the seats are filled."
        )
    return "\n".join(rows)


def lottery(rules: Rules) -> str:
    rows = [
        "| seats a day for 100 people | Gini, lottery alone | longest run | Gini, days remembered | longest run |",
        "|---|---|---|---|---|",
    ]
    for seats in (60, 50, 40, 30, 20):
        alone = fairness.days(rules, people=100, seats=seats)
        carried = fairness.days(rules, people=100, seats=seats, carried=True)
        rows.append(
            f"| {seats} | {alone.gini:.2f} | {alone.longest} days | {carried.gini:.2f} | {carried.longest} days |"
        )
    return "\n".join(rows)


def timing(rules: Rules) -> str:
    found = speed.measured(rules)
    return (
        f"One window of 1,000 seats and 10,000 people: {found.engine_s:.2f} s of processor time in the engine, "
        f"{found.whole_s:.2f} s for scipy's `linear_sum_assignment` over all pairs with the same scores "
        f"(ratio {found.engine_s / found.whole_s:.2f}, medians of {speed.ROUNDS}). "
        f"Seats filled {found.engine_seats} against {found.whole_seats}; "
        f"sum of scores {found.engine_score / found.whole_score:.2%} of the other's."
    )
