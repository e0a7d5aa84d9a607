"""The workers' registry, wired: real-name registration, profiles, check-ins."""

from services.workers import api, handlers, store
from services.workers.personal import PERSONAL
from shared.service import Service

service = Service(
    name="workers",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    about="Who works: real-name registration, skills and limits, and who waits for work where.",
)
