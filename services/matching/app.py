"""matching: the live market of each district, from gigs and check-ins to offers and placements."""

from services.matching import api, handlers, market, store
from services.matching.personal import PERSONAL
from shared.service import Service

service = Service(
    name="matching",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    loops=[market.keep_matching],
    about="Workers who wait are offered gigs with open seats; an acceptance is a placement; the board shows it all.",
    state={"board": lambda runtime: api.Board(runtime.settings.zone)},
)
