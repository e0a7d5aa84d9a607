"""OR-Tools' assignment of one window, in the Python that has OR-Tools: `ortools_way.py scores.npz` prints JSON.

Its quickest way with a window's shape: not a row for each seat, whose square it would have to be filled up to, but a
flow from gigs, as wide as their seats, to people, over the pairs that may be. As many pairs as can be, and of those
the greatest sum of scores.
"""

import json
import sys
import time

import numpy as np
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow


def solved(score: np.ndarray, seats: np.ndarray, best: int) -> tuple[int, int]:
    """How many seats are filled, and the sum of their scores. Below 0 in `score`, shape (gigs, people): may not be."""
    gigs, people = score.shape
    source, sink = gigs + people, gigs + people + 1
    gig, person = np.nonzero(score >= 0)
    worth = score[gig, person].astype(np.int64)
    flow = SimpleMinCostFlow()
    pairs = flow.add_arcs_with_capacity_and_unit_cost(gig, gigs + person, np.ones_like(gig), best - worth)
    every, other = np.arange(gigs), np.arange(people)
    flow.add_arcs_with_capacity_and_unit_cost(np.full_like(every, source), every, seats, np.zeros_like(every))
    flow.add_arcs_with_capacity_and_unit_cost(
        gigs + other, np.full_like(other, sink), np.ones_like(other), np.zeros_like(other)
    )
    flow.set_node_supply(source, int(seats.sum()))
    flow.set_node_supply(sink, -int(seats.sum()))
    status = flow.solve_max_flow_with_min_cost()
    if status != flow.OPTIMAL:
        raise RuntimeError(f"OR-Tools says {status}")
    taken = flow.flows(pairs) > 0
    return int(taken.sum()), int(worth[taken].sum())


if __name__ == "__main__":
    given = np.load(sys.argv[1])
    began = time.process_time()
    filled, total = solved(given["score"], given["seats"], int(given["best"]))
    print(json.dumps({"seconds": time.process_time() - began, "seats": filled, "score": total}))
