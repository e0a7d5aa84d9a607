"""Insurers. One protocol; whoever stands behind it is asked to enrol a shift or to withdraw one, and answers."""

import json
import re
from datetime import datetime
from typing import Protocol

from aiohttp import ClientSession
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.terms import Period
from shared.providers import Answer, post
from shared.sending import Retry, check

TIMEOUT_SECONDS = 5.0
CODE = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Enrolment(BaseModel):
    """What an insurer hears of a shift: whom it covers, in what work, and for which half-open span.

    `reference` is our name for it. People are named by their ids here alone: who they are, the market tells the
    insurer when an accident happens. `occupation` is a class of the national classification.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    worker_id: str
    employer_id: str
    district: str
    occupation: str
    covers: Period


class Withdrawal(BaseModel):
    """The cover `policy_id` ends at `at`: what was covered before stays covered."""

    model_config = ConfigDict(frozen=True)

    reference: str
    policy_id: str
    at: datetime


class Refused(Exception):
    """The insurer will never do it; `code` is its reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Insurer(Protocol):
    """Both raise `Retry` or `Refused`; the same key again is the same request, and has the same answer."""

    async def enrol(self, enrolment: Enrolment, idempotency_key: str) -> str:
        """Cover a shift; the policy number when it is covered."""

    async def withdraw(self, withdrawal: Withdrawal, idempotency_key: str) -> None:
        """End a cover."""


class HttpInsurer:
    """An insurer over HTTP: POST to `/enrolments` and `/withdrawals` below its address.

    The key is the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). A 2xx names the `reference`,
    and of an enrolment the `policy_id`; one that does not is no answer, and is asked for again. Any other 4xx than
    those of `shared.sending` refuses, with a problem (RFC 9457) whose `code` is the reason.
    """

    def __init__(self, url: str, client: ClientSession) -> None:
        self._url, self._client = url.rstrip("/"), client

    async def enrol(self, enrolment: Enrolment, idempotency_key: str) -> str:
        answer = _Enrolled.model_validate_json(await self._ask("enrolments", enrolment, idempotency_key, _Enrolled))
        return answer.policy_id

    async def withdraw(self, withdrawal: Withdrawal, idempotency_key: str) -> None:
        await self._ask("withdrawals", withdrawal, idempotency_key, _Answer)

    async def _ask(
        self, what: str, asked: Enrolment | Withdrawal, idempotency_key: str, wanted: type["_Answer"]
    ) -> bytes:
        answer = await post(
            self._client,
            f"{self._url}/{what}",
            asked.model_dump_json().encode(),
            {"content-type": "application/json", "idempotency-key": idempotency_key},
            within=TIMEOUT_SECONDS,
        )
        if not check(answer.status, answer.retry_after):
            raise Refused(_code(answer))
        try:
            said = wanted.model_validate_json(answer.body)
        except ValidationError:
            raise Retry("broken") from None
        if said.reference != asked.reference:
            raise Retry("broken")
        return answer.body


class _Answer(BaseModel):
    reference: str


class _Enrolled(_Answer):
    policy_id: str = Field(min_length=1, max_length=100)


def _code(answer: Answer) -> str:
    """The reason of a refusal, if it is a code as ours are; texts of others are passed on to nobody."""
    try:
        code = json.loads(answer.body)["code"]
    except (ValueError, KeyError, TypeError):
        return "not-said"
    return code if isinstance(code, str) and CODE.fullmatch(code) else "not-said"
