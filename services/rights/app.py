"""rights, wired."""

from services.rights import api, case_api, handlers, sender, store, timesheets
from services.rights.personal import PERSONAL
from shared.service import Service

api.routes.include_router(timesheets.routes)
api.routes.include_router(case_api.routes)

service = Service(
    name="rights",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    loops=[sender.ask_forever, sender.measure_forever],
    about="The agreement and injury cover of every placement, its shift and timesheet, pay until it arrives, and how "
    "the sides rate each other; workers' cases and the law's time limits, and sanctions.",
)
