"""Two builds of one service, N and N+1, each loaded only in a process of its own: they have other ideas of one event.

What N+1 changed: `posting.gig-filled.v1` has one more optional field, and `posting.gig-reopened.v2` is said beside v1.
N knows v2 and does not react to it: an event is known for a release before it is said (docs/operations.md).
"""
