"""`make bench`: every figure that this project claims, measured here and now."""

from bench import burst, crews, matching, screening, search

if __name__ == "__main__":
    screening.tell()
    matching.tell()
    burst.tell()
    crews.tell()
    search.tell()
