"""posting: employers and their verification, gigs from post to close, search."""

from pathlib import Path
from typing import Any

import yaml

from services.posting import api, handlers, store
from services.posting.domain import Policy
from services.posting.judge import Judge
from services.posting.screening import Rules
from shared.service import Service


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _data(name: str) -> Any:
    return yaml.safe_load(_text(name))


POLICY = Policy.model_validate(_data("policy.yaml"))
RULES = Rules(_data("screening.yaml"), Judge.model_validate_json(_text("screening.model.json")))

service = Service(
    name="posting",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    about="Employers register and are verified by a clerk; verified employers post gigs; everyone searches them.",
    state={"policy": lambda runtime: POLICY, "rules": lambda runtime: RULES},
)
