"""`python -m bench.placements [quick]`: these figures alone."""

import sys

from bench.placements import figures
from bench.results import last_line, table

if __name__ == "__main__":
    found = figures(quick=sys.argv[1:] == ["quick"])
    print(table(found, {}))
    print(last_line(found))
