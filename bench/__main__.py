"""`make bench`: every figure that this project claims, measured here and now. Ends with 1 when a promise is broken.

    python -m bench              all of it; the figures go into bench/results.json
    python -m bench quick        the figures alone, on less, beside those that are stored
    python -m bench edge growth  these figures alone

Figures have aims, and no promise of docs/features.md: whether those are met is told, and no error.
"""

import sys
from collections.abc import Iterable
from types import ModuleType

from bench import (
    burst,
    crews,
    drift,
    edge,
    engine,
    growth,
    matching,
    placements,
    promises,
    reactions,
    screening,
    search,
    told,
)
from bench.results import Figure, last_line, read, table, write

COMPARED: dict[str, ModuleType] = {
    "reactions": reactions,
    "placements": placements,
    "edge": edge,
    "engine": engine,
    "growth": growth,
}
PROMISED = (matching, burst, told, crews, search, drift, promises)


def measured(names: Iterable[str], *, quick: bool) -> list[Figure]:
    return [figure for name in names for figure in COMPARED[name].figures(quick=quick)]


def main(arguments: list[str]) -> int:
    quick, names = "quick" in arguments, [name for name in arguments if name != "quick"]
    if unknown := set(names) - COMPARED.keys():
        print(f"bench: there is no {', '.join(sorted(unknown))}, but quick, {', '.join(COMPARED)}", file=sys.stderr)
        return 2
    kept, everything = True, not quick and not names
    if everything:
        screening.tell()
    figures = measured(names or COMPARED, quick=quick)
    if everything:
        all_kept = [each.tell() for each in PROMISED]  # also those after one that is broken
        kept = all(all_kept)
    print(table(figures, read()))
    if not quick:
        write(figures)
    print(last_line(figures), flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
