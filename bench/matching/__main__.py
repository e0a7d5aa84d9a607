"""`python -m bench.matching` prints the figures; with `--write` they go into docs/matching.md."""

import sys

from bench.matching import figures

if __name__ == "__main__":
    figures.write() if sys.argv[1:] == ["--write"] else figures.tell()
