"""What the matching engine is worth, in figures. `python -m bench.matching --write` puts them into docs/matching.md."""

from bench.matching.figures import tell

__all__ = ["tell"]
