"""The same check-in as a bare FastAPI route: one insert with majority and journal, and the answer.

It believes the gateway who is calling, as it may: `python -m bench.edge.bare`. It stands in posting's place, so that
it is behind the same gateway and the same check of the token.
"""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header
from pydantic import BaseModel
from pymongo import AsyncMongoClient

from shared.settings import Settings


class Position(BaseModel):
    lat: float
    lon: float


class Draft(BaseModel):
    districts: list[str]
    position: Position


class CheckIn(BaseModel):
    checkin_id: str
    districts: list[str]
    at: datetime


def app(settings: Settings) -> FastAPI:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_url, w="majority", journal=True)
    presences = client["bare"]["presences"]
    bare = FastAPI()

    @bare.get("/ready")
    async def ready() -> dict[str, bool]:
        await client.admin.command("ping")
        return {"ready": True}

    @bare.post("/api/posting/check-ins", status_code=201)
    async def check_in(draft: Draft, x_user_id: Annotated[str, Header()]) -> CheckIn:
        made = CheckIn(checkin_id=str(uuid.uuid4()), districts=draft.districts, at=datetime.now(UTC))
        row = {"_id": made.checkin_id, "worker_id": x_user_id, "at": made.at, **draft.model_dump()}
        await presences.insert_one(row)
        return made

    return bare


if __name__ == "__main__":
    settings = Settings()
    uvicorn.run(app(settings), host=settings.host, port=settings.port, access_log=False, log_level="warning")
