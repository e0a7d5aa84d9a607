"""`make bench`: every figure that this project claims, measured here and now. Ends with 1 when a promise is broken."""

import sys

from bench import burst, crews, drift, matching, promises, reactions, screening, search, told

if __name__ == "__main__":
    screening.tell()
    reactions.tell()  # an aim, and no promise of features.md yet
    kept = [each.tell() for each in (matching, burst, told, crews, search, drift, promises)]
    sys.exit(not all(kept))
