"""rights, wired."""

from services.rights import api, case_api, handlers, store
from shared.service import Service

api.routes.include_router(case_api.routes)

service = Service(
    name="rights",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    about="The agreement and injury cover of every placement, its shift from start to end, and pay until it arrives; "
    "cases of workers, their time limits, and sanctions.",
)
