"""Where other agencies meet Kafka: who may do what (access), what they say and are answered (gate), and how one that
comes late catches up (snapshots). `python -m deploy.agencies` runs the latter two; docs/agencies.md has what agencies
are told.
"""

INBOUND, ANSWERS = "agencies.gig.", "agencies.answers."
"""Topics, with the agency's id behind them: what it says, and what it is answered."""
