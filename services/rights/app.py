"""rights, wired."""

from services.rights import api, handlers, sender, store
from shared.service import Service

service = Service(
    name="rights",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    loops=[sender.ask_forever, sender.measure_forever],
    about="The agreement and injury cover of every placement, its shift from start to end, and pay until it arrives.",
)
