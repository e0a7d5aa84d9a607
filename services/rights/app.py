"""rights, wired."""

from services.rights import api, handlers, store, timesheets
from shared.service import Service

api.routes.include_router(timesheets.routes)

service = Service(
    name="rights",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    about="The agreement and injury cover of every placement, its shift and timesheet, and pay until it arrives.",
)
