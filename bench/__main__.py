"""`make bench`: every figure that this project claims, measured here and now."""

from bench import crews, matching, screening, search

if __name__ == "__main__":
    screening.tell()
    matching.tell()
    crews.tell()
    search.tell()
