"""posting: employers and their verification, gigs from post to close, search."""

from pathlib import Path

import yaml

from services.posting import api, handlers, store
from services.posting.domain import Policy
from shared.service import Service

POLICY = Policy.model_validate(yaml.safe_load(Path(__file__).with_name("policy.yaml").read_text("utf-8")))

service = Service(
    name="posting",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    about="Employers register and are verified by a clerk; verified employers post gigs; everyone searches them.",
    state={"policy": lambda runtime: POLICY},
)
