"""posting: employers and their verification, gigs from post to close, search."""

from services.posting import api, feeds, handlers, search, store
from services.posting.personal import PERSONAL
from shared.service import Service

api.routes.include_router(feeds.routes)
api.routes.include_router(search.routes)

service = Service(
    name="posting",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    about="Employers register and are verified by a clerk; verified employers, and agencies for them, post gigs; "
    "everyone searches them.",
)
