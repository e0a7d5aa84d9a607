"""`make bench`: every figure that this project claims, measured here and now. Ends with 1 when a promise is broken."""

import sys

from bench import burst, crews, drift, matching, promises, screening, search, told

if __name__ == "__main__":
    screening.tell()
    matching.tell()
    burst.tell()
    told.tell()
    crews.tell()
    search.tell()
    kept = [drift.tell(), promises.tell()]
    sys.exit(not all(kept))
