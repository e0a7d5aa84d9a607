"""rights, wired."""

from services.rights import (
    api,
    articles,
    case_api,
    handlers,
    knowledge,
    record,
    records,
    reliability_api,
    sender,
    store,
    timesheets,
)
from services.rights.personal import PERSONAL
from shared.service import Service

api.routes.include_router(timesheets.routes)
api.routes.include_router(case_api.routes)
api.routes.include_router(reliability_api.routes)
api.routes.include_router(records.routes)
api.routes.include_router(records.unkept)
api.routes.include_router(articles.routes)

service = Service(
    name="rights",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    loops=[sender.ask_forever, sender.measure_forever, record.SIGNING.keep_turning, knowledge.publish_new],
    at_start=[record.SIGNING.prepare],
    about="The agreement and injury cover of every placement, its shift and timesheet, pay until it arrives, and how "
    "the sides rate each other; workers' cases and the law's time limits, sanctions, and points of reliability; "
    "records of work to take along, and what a worker should know.",
)
