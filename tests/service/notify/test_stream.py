"""The live stream over a real socket: in order, without a gap or a repeat, with Valkey and without it."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

from services.notify import api, live, store
from services.notify.app import service
from services.notify.live import Live, live_of
from services.notify.store import Message
from shared.contracts.matching import OfferMade
from shared.service import Runtime
from shared.testing import Harness
from shared.unit import Unit
from tests.service.notify.story import WORKER, reach, said, until

pytestmark = pytest.mark.feature("F8")

Event = dict[str, Any]


def offers(first: int, last: int, worker: str = WORKER) -> list[OfferMade]:
    return [said(OfferMade, offer_id=f"offer-{n}", worker_id=worker) for n in range(first, last + 1)]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application behind a real uvicorn; its address."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server._serve(sockets=[sock]))

    async def started() -> bool:
        return server.started

    await until(started)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def at_work(runtime: Runtime) -> AsyncIterator[None]:
    """The service's loops for live streams, and its nudges, as in a running process."""
    runtime.store.after_commit = lambda unit: runtime.nudged(unit.nudged)
    loops = [asyncio.create_task(loop(runtime)) for loop in (live.tell_forever, live.hear_forever, live.look_forever)]
    try:
        yield
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


@pytest.fixture
async def address(notify: Harness) -> AsyncIterator[str]:
    async with at_work(notify.runtime), served(notify.app) as address:
        yield address


class Reader:
    """One client of the stream. `events` are those read so far, `comments` the lines between."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.events: list[Event] = []
        self.comments: list[str] = []

    async def read(self, count: int) -> list[Event]:
        """The next so many events."""
        read: list[Event] = []
        async with asyncio.timeout(20):
            while len(read) < count:
                read.append(await self._next())
        self.events += read
        return read

    async def _next(self) -> Event:
        event: Event = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if not line and "data" in event:
                return event
            if not name and value:
                self.comments.append(value)
            elif name:
                event[name] = json.loads(value) if name == "data" else value
        raise AssertionError("the stream ended")

    async def quiet(self, count: int) -> None:
        """Wait for so many comment lines."""

        async def heard() -> None:
            async for line in self._lines:
                assert not line.startswith("data")
                if line.startswith(":"):
                    self.comments.append(line[2:])
                if len(self.comments) >= count:
                    return

        async with asyncio.timeout(20):
            await heard()


@asynccontextmanager
async def reading(notify: Harness, address: str, person: str = WORKER, **headers: str) -> AsyncIterator[Reader]:
    async with httpx.AsyncClient(timeout=30) as client:
        asked = notify.as_("worker", person, **headers)
        async with client.stream("GET", f"{address}/api/notify/stream", headers=asked) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines: AsyncGenerator[str, None] = answer.aiter_lines()  # type: ignore[assignment]  # it is a generator
            async with aclosing(lines):
                yield Reader(lines)


async def test_a_stream_ends_when_its_process_is_told_to_stop(notify: Harness, address: str) -> None:
    async with reading(notify, address) as reader:
        await reader.quiet(1)
        notify.runtime.begin_to_stop()
        with pytest.raises(AssertionError, match="the stream ended"):
            await reader.read(1)


def ids(events: list[Event]) -> list[int]:
    return [int(event["id"]) for event in events]


async def test_a_message_comes_as_it_is_saved(notify: Harness, address: str) -> None:
    await reach(notify, language="en")
    async with reading(notify, address) as reader:
        await notify.receives(*offers(1, 1))
        [event] = await reader.read(1)
    assert (event["id"], event["event"]) == ("1", "offer-made")
    assert (
        event["data"] == (await notify.http.get("/messages", headers=notify.as_("worker", WORKER))).json()["items"][0]
    )
    assert event["data"]["text"].startswith("New offer: 快件分拣员")
    assert event["data"]["refs"]["offer_id"] == "offer-1"


async def test_a_stream_goes_on_behind_the_last_event_that_was_read(notify: Harness, address: str) -> None:
    await notify.receives(*offers(1, 5))
    async with reading(notify, address) as reader:
        assert ids(await reader.read(3)) == [1, 2, 3]
    await notify.receives(*offers(6, 7))
    async with reading(notify, address, last_event_id="3") as reader:
        assert ids(await reader.read(4)) == [4, 5, 6, 7]
        await notify.receives(*offers(8, 8))
        assert ids(await reader.read(1)) == [8]


async def test_a_long_absence_is_made_up_for_in_order(notify: Harness, address: str) -> None:
    await notify.receives(*offers(1, 250))
    async with reading(notify, address, last_event_id="0") as reader:
        assert ids(await reader.read(250)) == list(range(1, 251))


async def test_a_new_client_begins_with_the_latest(notify: Harness, address: str) -> None:
    await notify.receives(*offers(1, 30))
    async with reading(notify, address) as reader:
        assert ids(await reader.read(api.RECENT)) == list(range(11, 31))


async def test_nothing_is_missed_or_repeated_while_many_write_and_the_client_keeps_leaving(
    notify: Harness, address: str
) -> None:
    async def write() -> None:
        for n in range(0, 200, 5):
            await notify.receives(*offers(n, n + 4))

    writing = asyncio.create_task(write())
    seen: list[int] = []
    for take in (1, 7, 20, 2, 40, 30, 100):
        async with reading(notify, address, last_event_id=str(seen[-1] if seen else 0)) as reader:
            seen += ids(await reader.read(take))
    await writing
    assert seen == list(range(1, 201))


async def test_a_person_hears_only_their_own(notify: Harness, address: str) -> None:
    async with reading(notify, address) as reader, reading(notify, address, "worker-2") as other:
        await notify.receives(*offers(1, 1, "worker-2"), *offers(2, 2))
        assert [event["data"]["refs"]["offer_id"] for event in await reader.read(1)] == ["offer-2"]
        assert [event["data"]["refs"]["offer_id"] for event in await other.read(1)] == ["offer-1"]


async def test_a_quiet_stream_shows_that_it_lives(
    notify: Harness, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.05)
    async with reading(notify, address) as reader:
        await reader.quiet(4)
        assert reader.comments == ["open", "quiet", "quiet", "quiet"]


async def test_a_stream_ends_after_its_time(notify: Harness, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(api, "STREAM_SECONDS", 0.0)
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        answer = await client.get(f"{address}/api/notify/stream", headers=notify.as_("worker", WORKER))
    assert answer.text.endswith(": quiet\n\n")


async def second_process(notify: Harness, stack: AsyncExitStack, **settings: Any) -> str:
    """Another process of the service on the same database; its address."""
    config = notify.runtime.settings.model_copy(update=settings)
    runtime = Runtime(service, config)
    runtime.keys = notify.runtime.keys
    stack.push_async_callback(runtime.client.close)
    app = service.app(config)
    service.attach(app, runtime)
    await stack.enter_async_context(at_work(runtime))
    return await stack.enter_async_context(served(app))


async def test_valkey_carries_the_hint_to_the_process_where_the_person_listens(
    notify: Harness, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 3600.0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(at_work(notify.runtime))
        address = await second_process(notify, stack)
        client = await stack.enter_async_context(Redis.from_url(valkey_url))
        channel = f"{notify.runtime.store.db.name}:live"

        async def both_subscribed() -> bool:
            return dict(await client.pubsub_numsub(channel)).get(channel.encode()) == 2

        await until(both_subscribed)
        await notify.receives(*offers(1, 1))
        reader = await stack.enter_async_context(reading(notify, address))
        assert ids(await reader.read(1)) == [1]  # from here on it reads when it is told to
        await notify.receives(*offers(2, 3))
        assert ids(await reader.read(2)) == [2, 3]


async def test_without_valkey_the_other_process_looks_for_itself(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 3600.0)
    async with AsyncExitStack() as stack:
        address = await second_process(notify, stack, valkey_url="redis://127.0.0.1:1/0")
        await notify.receives(*offers(1, 1))
        reader = await stack.enter_async_context(reading(notify, address))
        assert ids(await reader.read(1)) == [1]  # from here on it reads when it is told to
        await notify.receives(*offers(2, 3))
        assert ids(await reader.read(2)) == [2, 3]


async def test_a_hint_holds_ids_and_no_text(notify: Harness, valkey_url: str) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(at_work(notify.runtime))
        client = await stack.enter_async_context(Redis.from_url(valkey_url, decode_responses=True))
        subscription = await stack.enter_async_context(client.pubsub())
        await subscription.subscribe(f"{notify.runtime.store.db.name}:live")
        await notify.receives(*offers(1, 2))
        hints: list[str] = []

        async def one_came() -> bool:
            hint = await subscription.get_message(ignore_subscribe_messages=True, timeout=0.1)
            hints.extend([hint["data"]] if hint else [])
            return bool(hints)

        await until(one_came)
        assert hints == [f"{live_of(notify.runtime).name}\n{WORKER}"]


async def test_an_event_that_comes_again_wakes_nobody(notify: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 3600.0)
    async with at_work(notify.runtime):
        with live_of(notify.runtime).listening(WORKER, 0) as listener:
            await notify.receives(said(OfferMade), id="once")
            assert listener.woken.is_set()
            listener.woken.clear()
            await notify.receives(said(OfferMade), id="once")
            assert not listener.woken.is_set()


async def test_a_client_that_leaves_leaves_nothing_behind(notify: Harness, address: str) -> None:
    async with reading(notify, address) as reader:
        await notify.receives(*offers(1, 1))
        await reader.read(1)
        assert live_of(notify.runtime).count(WORKER) == 1

    async def gone() -> bool:
        return not live_of(notify.runtime).count(WORKER)

    await until(gone)


async def test_a_stream_that_was_woken_rests_again(notify: Harness) -> None:
    streams = Live()
    async with asyncio.timeout(20), aclosing(streams.follow(notify.runtime.store, WORKER, 0, 0.01)) as pages:
        assert not await anext(pages)
        await notify.receives(*offers(1, 1))
        streams.wake({WORKER})
        assert [message.sequence for message in await anext(pages)] == [1]
        streams.wake({WORKER})
        assert not await anext(pages)


async def test_a_message_saved_while_the_stream_reads_is_not_slept_over(
    notify: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Live()

    async def read_and_be_overtaken(unit: Unit, person: str, after: int, limit: int) -> list[Message]:
        page = await store.messages_after(unit, person, after, limit)
        if not page:
            await notify.receives(*offers(1, 1))
            streams.wake({person})
        return page

    monkeypatch.setattr(live, "messages_after", read_and_be_overtaken)
    async with asyncio.timeout(20), aclosing(streams.follow(notify.runtime.store, WORKER, 0, 3600.0)) as pages:
        assert [message.sequence for message in await anext(pages)] == [1]


async def test_a_slow_client_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SLOW_SECONDS", 0.05)
    closed = asyncio.Event()
    taken: list[bytes] = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"data: 1\n\n"
        finally:
            closed.set()

    async def send(message: Any) -> None:
        if len(taken) == 3:
            await asyncio.Event().wait()  # its buffers are full
        taken.append(message.get("body", b""))

    async with asyncio.timeout(10):
        await api.EventStream(events()).stream_response(send)
    assert closed.is_set()
    assert len(taken) == 3


async def test_one_person_may_not_open_streams_without_end(notify: Harness, address: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(api.STREAMS_EACH):
            await stack.enter_async_context(reading(notify, address))

        async def all_open() -> bool:
            return live_of(notify.runtime).count(WORKER) == api.STREAMS_EACH

        await until(all_open)
        answer = await notify.http.get("/stream", headers=notify.as_("worker", WORKER))
        assert (answer.status_code, answer.json()["code"]) == (429, "too-many-streams")
        await stack.enter_async_context(reading(notify, address, "worker-2"))


async def test_a_stream_needs_a_token_and_a_sound_last_event_id(notify: Harness) -> None:
    assert (await notify.http.get("/stream")).status_code == 401
    for last in ("-1", "yesterday"):
        answer = await notify.http.get("/stream", headers=notify.as_("worker", WORKER, last_event_id=last))
        assert answer.status_code == 422


async def test_looking_wakes_those_who_are_behind_and_only_them(notify: Harness) -> None:
    await notify.receives(*offers(1, 3), *offers(4, 4, "worker-2"))
    streams = Live()
    with (
        streams.listening(WORKER, 2) as behind,
        streams.listening(WORKER, 3) as level,
        streams.listening("worker-2", 1) as other,
        streams.listening("worker-3", 0) as nobody,
    ):
        await streams.look(notify.reading())
        assert [one.woken.is_set() for one in (behind, level, other, nobody)] == [True, False, False, False]


async def test_the_stream_is_described_as_one(notify: Harness) -> None:
    answer = await notify.http.get("/openapi.json")
    content = answer.json()["paths"]["/api/notify/stream"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
