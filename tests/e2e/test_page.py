"""The live page in a real browser: what a person sees of the market, in both languages, on a phone and in a hall.

The web process is the real one. Only the board, which matching serves through the gateway, is played by the test.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from playwright.async_api import Route as PlaywrightRoute
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from clients.web.app import make_app
from clients.web.events import Feed, Tail
from clients.web.traces import TraceStore
from shared.broker import Broker
from shared.settings import Settings
from tests.skips import chromium

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]  # one browser for all of them

SWITCHES = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def district(code: str, waiting: int, seats: int, placed: int, p50: int = 812, p95: int = 1650) -> dict[str, Any]:
    return {
        "district": code,
        "waiting": waiting,
        "open_seats": seats,
        "offers_open": 4,
        "placements": placed,
        "check_in_to_offer_ms": {"p50": p50, "p95": p95, "count": 200 if p50 else 0},
    }


class Clock:
    """The trace store's clock, which a test moves on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Market:
    """The board as matching would answer it, and the web process's own feed and traces."""

    districts: list[dict[str, Any]]
    feed: Feed = field(default_factory=lambda: Feed(pace=0.02))
    clock: Clock = field(default_factory=Clock)
    frozen_at: str = ""
    down: bool = False
    url: str = ""

    async def board(self, _: object) -> Response:
        if self.down:
            return JSONResponse({}, 503)
        at = self.frozen_at or datetime.now(UTC).isoformat()
        return JSONResponse({"at": at, "districts": self.districts})

    def say(self, type: str, *, code: str = "430102", trace_id: str = "", **summary: Any) -> None:
        self.feed.publish(
            {
                "id": str(uuid.uuid4()),
                "type": type,
                "subject": "",
                "time": datetime.now(UTC).isoformat(),
                "district": code,
                "service": type.split(".", maxsplit=1)[0],
                "trace_id": trace_id,
                "summary": summary,
            }
        )


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The application on a free port; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest_asyncio.fixture(loop_scope="module")
async def market() -> AsyncIterator[Market]:
    playing = Market([district("430102", 12, 3, 87), district("500120", 5, 0, 41, 0, 0), district("330110", 8, 2, 60)])
    web = make_app(Settings(), feed=playing.feed, traces=TraceStore(clock=playing.clock))
    edge = Starlette(routes=[Route("/api/matching/board", playing.board), Mount("/", web)])
    playing.feed.turn("live")
    async with served(edge) as playing.url:
        yield playing
        playing.feed.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=chromium(), args=SWITCHES)
        yield made
        await made.close()


@dataclass
class Visit:
    """One person's browser on the page. Whatever the page complains of on its console fails the test."""

    page: Page
    market: Market
    complaints: list[str] = field(default_factory=list)

    async def open(self, query: str = "") -> Page:
        await self.page.goto(f"{self.market.url}/{query}")
        return self.page


@asynccontextmanager
async def visiting(browser: Browser, market: Market, **context: Any) -> AsyncIterator[Visit]:
    opened = await browser.new_context(**({"locale": "zh-CN", "viewport": {"width": 1366, "height": 900}} | context))
    visit = Visit(await opened.new_page(), market)

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(message.text)

    visit.page.on("console", listen)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    await opened.close()
    assert visit.complaints == []


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, market: Market) -> AsyncIterator[Visit]:
    async with visiting(browser, market) as one:
        yield one


def figure(page: Page, key: str) -> Any:
    return page.locator(f"#total-{key} .figure")


# --- the figures -----------------------------------------------------------------------------------------------------


async def test_the_figures_of_every_district_are_shown(visit: Visit) -> None:
    page = await visit.open()
    await expect(page.locator("#state")).to_have_attribute("data-state", "live")
    await expect(figure(page, "waiting")).to_have_text("25")
    await expect(figure(page, "seats")).to_have_text("5")
    await expect(figure(page, "placements")).to_have_text("188")
    await expect(figure(page, "speed")).to_have_text("1.65秒")
    furong = page.locator("#district-430102")
    await expect(furong.locator("th")).to_have_text("芙蓉区")
    await expect(furong.locator("td.waiting")).to_have_text("12")
    await expect(furong.locator("td.speed")).to_have_text("0.811.65")
    await expect(page.locator("tbody tr:not(.area)")).to_have_count(11)


async def test_what_is_not_known_is_a_dash_not_a_nought(visit: Visit) -> None:
    page = await visit.open()
    await expect(page.locator("#district-500120 td.seats")).to_have_text("0")
    await expect(page.locator("#district-500120 td.speed")).to_have_text("––")
    await expect(page.locator("#district-430103 td.waiting")).to_have_text("–")


async def test_a_district_without_a_name_is_shown_by_its_code(visit: Visit) -> None:
    visit.market.districts.append(district("110105", 77, 1, 2))
    page = await visit.open()
    await expect(page.locator("#district-110105 th")).to_have_text("110105")
    await expect(page.locator("#district-110105 td.waiting")).to_have_text("77")


async def test_the_page_follows_the_board(visit: Visit) -> None:
    page = await visit.open()
    await expect(figure(page, "placements")).to_have_text("188")
    visit.market.districts[0] |= {"placements": 90, "waiting": 9}
    await expect(figure(page, "placements")).to_have_text("191")
    await expect(page.locator("#district-430102 td.waiting")).to_have_text("9")
    await expect(page.locator("#total-placements .note")).to_contain_text("+3")


async def test_over_three_seconds_is_marked_slow(visit: Visit) -> None:
    visit.market.districts[0] = district("430102", 12, 3, 87, 1200, 3320)
    page = await visit.open()
    await expect(page.locator("#district-430102 .slow")).to_have_text("3.32")
    await expect(page.locator("#total-speed .note")).to_contain_text("芙蓉区")


# --- messages on this device ------------------------------------------------------------------------------------------

SUBSCRIPTION = {"endpoint": "https://push.example.org/one", "keys": {"p256dh": "a-point", "auth": "a-secret"}}
A_PUSH_SERVICE = """
  let given = null;
  const subscription = { toJSON: () => (THE_SUBSCRIPTION), unsubscribe: async () => { given = null; return true; } };
  PushManager.prototype.getSubscription = async () => given;
  PushManager.prototype.subscribe = async (options) => {
    window.asked = { visible: options.userVisibleOnly, key: options.applicationServerKey.length };
    return given = subscription;
  };
  Notification.requestPermission = async () => "granted";
  Object.defineProperty(Notification, "permission", { get: () => "default" });
""".replace("THE_SUBSCRIPTION", json.dumps(SUBSCRIPTION))


class Phone:
    """The market as it answers a person who wants messages on their device; `asked` is what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.contact: tuple[int, dict[str, Any]] = (200, {})

    async def answer(self, route: PlaywrightRoute) -> None:
        request = route.request
        path = request.url.partition("/api/")[2]
        self.asked.append((path, request.post_data_json if request.post_data else None))
        status, body = {
            "identity/codes": (202, {}),
            "identity/token": (200, {"access_token": "a-token", "account_id": "w1"}),
            "notify/push-key": (200, {"public_key": "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIg"}),
            "notify/contact": self.contact,
        }[path]
        await route.fulfill(status=status, json=body)


async def device(visit: Visit, script: str) -> tuple[Page, Phone, Any]:
    phone = Phone()
    await visit.page.add_init_script(script)
    await visit.page.route("**/api/**", phone.answer)
    return await visit.open("page/device.html"), phone, visit.page.locator("#device-state")


async def sign_in(page: Page) -> None:
    await page.locator("[name=phone]").fill("+8619900000001")
    await page.locator("#device-code").click()
    await page.locator("[name=code]").fill("123456")
    await page.locator("#device-on").click()


@pytest.mark.feature("F8")
async def test_a_person_has_messages_on_their_device_and_stops_them(visit: Visit) -> None:
    page, phone, state = await device(visit, A_PUSH_SERVICE)
    await expect(state).to_have_attribute("data-state", "off")
    await sign_in(page)
    await expect(state).to_have_attribute("data-state", "on")
    asked = dict(phone.asked)
    assert asked["identity/token"] == {
        "grant_type": "phone_code", "phone": "+8619900000001", "code": "123456", "role": "worker"
    }  # fmt: skip
    keys, address = SUBSCRIPTION["keys"], SUBSCRIPTION["endpoint"]
    assert asked["notify/contact"] == {
        "channel": "push", "address": address, "keys": keys, "language": "zh", "consent": True
    }  # fmt: skip
    assert await page.evaluate("window.asked") == {"visible": True, "key": 33}
    assert await page.evaluate("navigator.serviceWorker.ready.then((one) => one.scope)") == f"{visit.market.url}/page/"
    await page.locator("#device-off").click()
    await expect(state).to_have_attribute("data-state", "off")


@pytest.mark.feature("F8")
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('Object.defineProperty(Notification, "permission", { get: () => "denied" });', "denied"),
        ("delete window.PushManager;", "unsupported"),
    ],
)
async def test_a_browser_that_refuses_is_said_so_and_asked_for_nothing(visit: Visit, script: str, says: str) -> None:
    page, phone, state = await device(visit, script)
    await expect(state).to_have_attribute("data-state", says)
    await expect(state).to_contain_text("其他联系方式")
    await expect(page.locator("#device-form")).to_be_hidden()
    await page.locator("#language").click()
    await expect(state).to_contain_text("other contact points")
    assert phone.asked == []


@pytest.mark.feature("F8")
async def test_who_says_no_when_asked_is_told_how_to_change_it(visit: Visit) -> None:
    page, phone, state = await device(visit, A_PUSH_SERVICE + 'Notification.requestPermission = async () => "denied";')
    await sign_in(page)
    await expect(state).to_have_attribute("data-state", "denied")
    assert [path for path, _ in phone.asked] == ["identity/codes"]


@pytest.mark.feature("F8")
async def test_a_push_service_that_cannot_be_reached_is_shown_and_may_be_tried_again(visit: Visit) -> None:
    away = A_PUSH_SERVICE + 'PushManager.prototype.subscribe = async () => { throw new Error("push service error."); };'
    page, _, state = await device(visit, away)
    await sign_in(page)
    await expect(state).to_have_attribute("data-state", "failed")
    await expect(state).to_contain_text("push service error.")
    await expect(page.locator("#device-form")).to_be_visible()


# --- honest when something is missing --------------------------------------------------------------------------------


async def test_a_board_that_stands_still_is_called_stale_with_its_age(visit: Visit) -> None:
    visit.market.frozen_at = datetime.now(UTC).isoformat()
    await visit.page.clock.install()
    page = await visit.open("?lang=en")
    await expect(page.locator("#state-text")).to_contain_text("Live")
    await page.clock.fast_forward(12_000)
    await expect(page.locator("#state")).to_have_attribute("data-state", "stale")
    await expect(page.locator("#state-text")).to_contain_text("No data for 1")
    visit.market.frozen_at = ""
    await page.clock.fast_forward(3_000)
    await expect(page.locator("#state")).to_have_attribute("data-state", "live")


async def test_a_board_that_cannot_be_read_is_said_and_comes_back(browser: Browser, market: Market) -> None:
    market.down = True
    async with visiting(browser, market) as visit:
        page = await visit.open()
        await expect(page.locator("#state-text")).to_have_text("看板暂时取不到（HTTP 503），正在重试")
        await expect(figure(page, "waiting")).to_have_text("–")
        market.down = False
        await expect(page.locator("#state")).to_have_attribute("data-state", "live")
        await expect(figure(page, "waiting")).to_have_text("25")
        assert all("503" in complaint for complaint in visit.complaints)  # the browser's own line about the answer
        visit.complaints.clear()


async def test_a_missing_broker_is_said_and_comes_back(visit: Visit) -> None:
    page = await visit.open("?lang=en")
    await expect(page.locator("#events-empty")).to_have_text("Waiting for the first event…")
    visit.market.feed.turn("away")
    await expect(page.locator("#events-aside")).to_have_text("The event bus is not connected, trying again")
    visit.market.feed.turn("live")
    await expect(page.locator("#events-aside")).to_have_text("")


async def test_an_event_stream_that_is_refused_is_asked_for_again(browser: Browser, market: Market) -> None:
    async with visiting(browser, market) as visit:
        await visit.page.route("**/live/events", lambda route: route.fulfill(status=503))
        page = await visit.open("?lang=en")
        await expect(page.locator("#state-text")).to_contain_text("Live")
        await visit.page.unroute("**/live/events")
        market.say("workers.worker-checked-in.v1")
        await expect(page.locator("#events .what")).to_have_text("Worker checked in")
        assert all("503" in complaint for complaint in visit.complaints)
        visit.complaints.clear()


# --- events ----------------------------------------------------------------------------------------------------------


async def test_events_appear_as_they_come_the_newest_first(visit: Visit) -> None:
    page = await visit.open()
    pay = {"amount_fen": 2350, "unit": "hour"}
    visit.market.say("posting.gig-posted.v1", title="快件分拣", headcount=10, pay=pay)
    visit.market.say("matching.placement-made.v1", code="330110", title="商场保洁", pay=pay)
    told = ["落实用工商场保洁 · 23.5 元/时", "新岗位快件分拣 · 10 人 · 23.5 元/时"]
    await expect(page.locator("#events .what")).to_have_text(told)
    await expect(page.locator("#events .where")).to_have_text(["余杭区", "芙蓉区"])


async def test_what_an_employer_wrote_stays_text(visit: Visit) -> None:
    page = await visit.open()
    visit.market.say("posting.gig-posted.v1", title="<img src=x onerror=alert(1)><b>x</b>", headcount=1)
    await expect(page.locator("#events .what")).to_contain_text("<img src=x onerror=alert(1)><b>x</b>")
    await expect(page.locator("#events img")).to_have_count(0)


async def test_an_unknown_kind_of_event_is_shown_by_its_name(visit: Visit) -> None:
    page = await visit.open()
    visit.market.say("skills.course-proposed.v1")
    await expect(page.locator("#events .what")).to_have_text("skills.course-proposed.v1")


async def test_the_list_holds_still_while_somebody_points_at_it(visit: Visit) -> None:
    page = await visit.open("?lang=en")
    visit.market.say("workers.worker-checked-in.v1")
    await page.locator("#events li").first.hover()
    visit.market.say("rights.shift-ended.v1", minutes=240)
    await expect(page.locator("#events-aside")).to_have_text("Held, 1 new")
    await expect(page.locator("#events li")).to_have_count(1)
    await page.mouse.move(0, 0)
    await expect(page.locator("#events .what")).to_have_text(["Shift ended240 min", "Worker checked in"])


async def test_events_that_read_alike_are_one_line_with_a_number(visit: Visit) -> None:
    page = await visit.open("?lang=en")
    for code in ("430102", "430102", "430102", "330110"):
        visit.market.say("workers.worker-checked-in.v1", code=code)
    await expect(page.locator("#events .what")).to_have_text(["Worker checked in", "Worker checked in×3"])


async def test_a_browser_that_leaves_is_forgotten(browser: Browser, market: Market) -> None:
    async with visiting(browser, market) as visit:
        page = await visit.open()
        await expect(page.locator("#state")).to_have_attribute("data-state", "live")
        assert market.feed.readers == 1
    async with asyncio.timeout(10):
        while market.feed.readers:
            market.say("workers.worker-checked-in.v1")
            await asyncio.sleep(0.05)


async def test_an_event_on_a_kafka_topic_reaches_the_page(visit: Visit, kafka: str) -> None:
    topic = f"page-test-{uuid.uuid4().hex[:8]}.gig"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 3, 1)])
    tail = asyncio.create_task(Tail(Broker(kafka), [topic], visit.market.feed).run())
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        page = await visit.open("?lang=en")
        shown = page.locator("#events .what", has_text="Gig filled10 placed")
        body = json.dumps({"gig_id": "g", "district": "430102", "placed": 10}).encode()
        async with asyncio.timeout(30):
            while not await shown.count():  # the tail begins at the end, so until it has begun it sees nothing
                headers = [("ce_id", uuid.uuid4().bytes.hex().encode()), ("ce_type", b"posting.gig-filled.v1")]
                await producer.send_and_wait(topic, body, key=b"430102", headers=headers)
                await asyncio.sleep(0.2)
        await expect(page.locator("#events .where").first).to_have_text("Furong")
    finally:
        tail.cancel()
        await asyncio.gather(tail, return_exceptions=True)
        await producer.stop()
        await admin.delete_topics([topic])
        await admin.close()


# --- journeys --------------------------------------------------------------------------------------------------------


async def journey(market: Market, *services: str) -> str:
    """Spans through these services, exported over OTLP as the services do it; the trace id."""

    def export() -> str:
        parent = None
        for n, service in enumerate(services):
            exporter = OTLPSpanExporter(endpoint=f"{market.url}/otlp/v1/traces")
            provider = TracerProvider(resource=Resource.create({"service.name": service}))
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            context = trace.set_span_in_context(parent) if parent else None
            kind = SpanKind.PRODUCER if service == "notify" else SpanKind.SERVER
            parent = provider.get_tracer("t").start_span(f"step {n}", context=context, kind=kind)
            parent.end()
            provider.shutdown()
        assert parent is not None
        return f"{parent.get_span_context().trace_id:032x}"

    trace_id = await asyncio.to_thread(export)
    market.clock.now += 5
    return trace_id


async def test_the_latest_journey_is_drawn_step_by_step(visit: Visit) -> None:
    await journey(visit.market, "gateway", "posting", "matching", "notify")
    page = await visit.open()
    await expect(page.locator("#journey .step b")).to_have_text(["网关", "岗位", "匹配", "通知"])
    await expect(page.locator("#journey-path")).to_contain_text("网关→岗位→匹配→通知")
    await expect(page.locator("#journey-aside")).to_contain_text("4 个服务 · 4 步")
    for bar in await page.locator("#journey .lane .bar").all():
        box = await bar.bounding_box()
        assert box is not None
        assert box["width"] >= 3


async def test_before_the_first_journey_the_page_says_so(visit: Visit) -> None:
    await journey(visit.market, "gateway", "posting")  # it never reached anybody
    page = await visit.open("?lang=en")
    await expect(page.locator("#journey-empty")).to_contain_text("No journey has yet gone all the way")


async def test_an_event_opens_its_own_journey(visit: Visit) -> None:
    await journey(visit.market, "gateway", "posting", "matching", "notify")
    other = await journey(visit.market, "gateway", "workers")
    page = await visit.open("?lang=en")
    await expect(page.locator("#journey .step")).to_have_count(4)
    visit.market.say("workers.worker-checked-in.v1", trace_id=other)
    await page.get_by_role("button", name="Worker checked in").click()
    await expect(page.locator("#journey .step b")).to_have_text(["gateway", "workers"])
    await page.get_by_role("button", name="Back to the latest").click()
    await expect(page.locator("#journey .step")).to_have_count(4)


async def test_a_journey_that_is_no_longer_kept_is_said(browser: Browser, market: Market) -> None:
    async with visiting(browser, market) as visit:
        page = await visit.open("?lang=en")
        market.say("workers.worker-checked-in.v1", trace_id="ab" * 16)
        await page.get_by_role("button", name="Worker checked in").click()
        await expect(page.locator("#journey-empty")).to_have_text("The record of this journey is no longer kept.")
        assert all("404" in complaint for complaint in visit.complaints)
        visit.complaints.clear()


# --- language, colours, sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("locale", "title"), [("zh-CN", "快招"), ("en-GB", "Kuaizhao"), ("fr-FR", "快招")])
async def test_the_browsers_language_decides_first(browser: Browser, market: Market, locale: str, title: str) -> None:
    async with visiting(browser, market, locale=locale) as visit:
        page = await visit.open()
        await expect(page.locator("h1")).to_have_text(title)


async def test_a_chosen_language_and_colours_stay(visit: Visit) -> None:
    page = await visit.open()
    await page.get_by_role("button", name="Switch to English").click()
    await expect(page.locator("h1")).to_have_text("Kuaizhao")
    await expect(page.locator("#district-430102 th")).to_have_text("Furong")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_role("button", name="Colours: Auto").click()
    await page.get_by_role("button", name="Colours: Light").click()
    await page.reload()
    await expect(page.locator("h1")).to_have_text("Kuaizhao")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_colours_follow_the_system_until_chosen(visit: Visit) -> None:
    page = await visit.open()
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.emulate_media(color_scheme="light")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("width", [320, 390, 820, 1366, 1920, 3840])
@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_nothing_is_wider_than_the_screen(browser: Browser, market: Market, width: int, lang: str) -> None:
    await journey(market, "gateway", "posting", "matching", "notify")
    async with visiting(browser, market, viewport={"width": width, "height": 900}) as visit:
        page = await visit.open(f"?lang={lang}")
        market.say("posting.gig-posted.v1", title="一个很长很长的岗位名称" * 6, headcount=10)
        await expect(page.locator("#journey .step")).to_have_count(4)
        await expect(page.locator("#events li")).to_have_count(1)
        overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0


async def test_a_halls_screen_shows_everything_without_scrolling(browser: Browser, market: Market) -> None:
    await journey(market, "gateway", "posting", "matching", "notify")
    async with visiting(browser, market, viewport={"width": 1920, "height": 1080}) as visit:
        page = await visit.open()
        await expect(page.locator("#journey .step")).to_have_count(4)
        for part in ("#district-330110", "#journey .step:last-child", ".foot"):
            box = await page.locator(part).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 1080, part


async def test_the_page_can_be_used_by_keyboard_and_by_ear(visit: Visit) -> None:
    await journey(visit.market, "gateway", "posting", "matching", "notify")
    page = await visit.open("?lang=en")
    visit.market.say("workers.worker-checked-in.v1", trace_id="ab" * 16)
    await expect(page.locator("#events button")).to_have_count(1)
    await expect(page.locator("#journey .step")).to_have_count(4)
    await expect(page.get_by_role("status")).to_contain_text("Live")
    await expect(page.get_by_role("region", name="Districts")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="Furong")).to_be_visible()
    reached = []
    for _ in range(8):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached[0] == "Skip to the districts"
    assert {"language", "theme", "journey"} <= set(reached)
    assert any("Worker checked in" in name for name in reached)


async def test_without_scripts_the_page_says_what_is_missing(browser: Browser, market: Market) -> None:
    async with visiting(browser, market, java_script_enabled=False) as visit:
        page = await visit.open()
        await expect(page.locator(".notice")).to_contain_text("needs JavaScript")
        await expect(page.locator("main")).to_be_hidden()


async def test_an_injected_script_does_not_run(visit: Visit) -> None:
    async def inject(route: PlaywrightRoute) -> None:
        answer = await route.fetch()
        planted = "<script>window.ran = 1</script><p onmouseover='window.ran = 1'>x</p><noscript>"
        await route.fulfill(response=answer, body=(await answer.text()).replace("<noscript>", planted))

    await visit.page.route(f"{visit.market.url}/", inject)
    page = await visit.open()
    await expect(page.locator("#state")).to_have_attribute("data-state", "live")
    await page.get_by_text("x", exact=True).hover()
    assert await page.evaluate("window.ran") is None
    assert len([c for c in visit.complaints if "Content Security Policy" in c]) == len(visit.complaints) == 2
    visit.complaints.clear()


async def test_the_board_is_asked_for_at_the_gateways_address(visit: Visit) -> None:
    """Everything the page asks for is at its own origin, so it works behind any gateway."""
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    page = await visit.open()
    await expect(page.locator("#state")).to_have_attribute("data-state", "live")
    assert {httpx.URL(url).netloc.decode() for url in asked} == {httpx.URL(visit.market.url).netloc.decode()}
    assert f"{visit.market.url}/api/matching/board" in asked
