"""The pages of workers, employers and clerks in a real browser, over the real gateway: a shift from post to pay.

The journeys share one market and follow one another, as the people of one shift do. Each is walked on a phone of 360 px
in Chinese or at a desk in English, and every view that is passed is looked at: nothing runs out of the page, everything
can be hit by a thumb and has a name, and English is English.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect
from playwright.async_api import TimeoutError as BrowserTimeout

from clients.city.people import People, credit_code, id_number
from deploy.local.stack import Stack
from tests.e2e.journey import DISTRICT, PLACE, eventually
from tests.e2e.test_page import SWITCHES
from tests.skips import chromium

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ZONE = ZoneInfo("Asia/Shanghai")
N = 7_000
"""Of the made-up people, some that no other story has."""

PATIENCE_MS = 60_000
PHONE = {"viewport": {"width": 360, "height": 740}, "locale": "zh-CN", "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"}

TITLE, FIRM, NAME = "快件分拣员（临时）", "雨花分拨中心（虚构）", "乙七"
THEIRS = [TITLE, FIRM, NAME]
FAULTS = Path(__file__).with_name("faults.js").read_text(encoding="utf-8")


@dataclass
class Person:
    """Somebody's browser on one of the pages. Whatever it complains of on its console fails the test."""

    page: Page
    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)

    def listen(self, message: ConsoleMessage) -> None:
        # The browser's own line about an answer such as 404, where nothing is there yet, is no complaint of the page's.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    async def open(self, view: str) -> None:
        """A view as it is now, also the one that is open."""
        await (self.page.reload() if self.page.url.endswith(f"#{view}") else self.page.goto(f"{self.url}#{view}"))
        await self.settled()

    async def settled(self) -> None:
        await expect(self.page.locator("main[aria-busy=false] h1")).to_be_visible(timeout=PATIENCE_MS)

    async def look(self) -> None:
        """The view as it stands, in both languages, has no fault; leaves it in the language that it was in."""
        await self.settled()
        for _ in range(2):
            assert await self.page.evaluate(FAULTS, THEIRS) == [], self.page.url
            await self.page.locator("#language").click()
            await self.settled()

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).first.click(timeout=PATIENCE_MS)

    async def fill(self, **values: str) -> None:
        for name, value in values.items():
            await self.page.locator(f"[name='{name.replace('__', '.')}']").first.fill(value, timeout=PATIENCE_MS)

    async def choose(self, **values: str) -> None:
        for name, value in values.items():
            await self.page.locator(f"[name='{name.replace('__', '.')}']").select_option(value, timeout=PATIENCE_MS)

    async def see(self, text: str | re.Pattern[str]) -> None:
        await expect(self.page.locator("main").get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)

    async def hear(self, text: str | re.Pattern[str]) -> None:
        await expect(self.page.locator("#said")).to_have_text(text, timeout=PATIENCE_MS)


@dataclass
class Hall:
    """The market, the browser, and who is in it; each journey leaves here what the next goes on from."""

    market: Stack
    browser: Browser
    http: httpx.AsyncClient
    gig_id: str = ""
    placement_id: str = ""
    kept: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def visit(self, role: str, **context: Any) -> AsyncIterator[Person]:
        """A browser on a role's page, with what it kept of the last visit; who was signed in still is."""
        opened = await self.browser.new_context(**context, storage_state=self.kept.get(role))
        person = Person(await opened.new_page(), opened, f"{self.market.gateway}/{role}")
        person.page.on("console", person.listen)
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        await person.page.goto(person.url)
        yield person
        self.kept[role] = await opened.storage_state()
        for origin in self.kept[role]["origins"]:  # who looks at both languages has chosen one; the next has not
            origin["localStorage"] = [each for each in origin["localStorage"] if each["name"] != "language"]
        await opened.close()
        assert person.complaints == []

    async def code_for(self, phone: str, before: int) -> str:
        async def texts() -> list[str]:
            answer = await self.http.get(f"{self.market.url('web')}/sms", params={"to": phone})
            return [each["text"] for each in answer.json() if re.search(r"\b\d{6}\b", each["text"])][before:]

        found = re.search(r"\b\d{6}\b", (await eventually(texts, "a code by SMS"))[-1])
        assert found
        return found.group()

    async def sign_in(self, person: Person, phone: str) -> None:
        """As a person does who is not yet: the number, the code of the SMS."""
        await person.settled()
        if await person.page.locator("#tabs").is_visible():
            return
        await person.open("/me")
        answer = await self.http.get(f"{self.market.url('web')}/sms", params={"to": phone})
        before = len([each for each in answer.json() if re.search(r"\b\d{6}\b", each["text"])])
        await person.fill(phone=phone.removeprefix("+86"))
        await person.page.locator("main form button.primary").click()
        await person.fill(code=await self.code_for(phone, before))
        await person.page.locator("main form button.primary").click()
        await expect(person.page.locator("#tabs")).to_be_visible(timeout=PATIENCE_MS)

    async def clerk(self, person: Person, name: str = "clerk-pages") -> None:
        await person.fill(username=name, password=PASSWORD)
        await person.page.locator("main form button.primary").click()
        await expect(person.page.locator("#tabs")).to_be_visible(timeout=PATIENCE_MS)


PASSWORD = "correct-horse-battery-staple"
EMPLOYER, WORKER = People(1).employer(700), People(1).worker(N)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hall(whole_market: Stack) -> AsyncIterator[Hall]:
    async with async_playwright() as playwright, httpx.AsyncClient(timeout=30) as http:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=[*SWITCHES, *CAMERA])
        token = (
            await http.post(
                f"{whole_market.gateway}/api/identity/token",
                json={"grant_type": "password", "username": "operator", "password": whole_market.operator_password},
            )
        ).json()["access_token"]
        made = await http.post(
            f"{whole_market.gateway}/api/identity/clerks",
            json={"username": "clerk-pages", "password": PASSWORD, "districts": [DISTRICT]},
            headers={"authorization": f"Bearer {token}"},
        )
        assert made.status_code in (201, 409)
        yield Hall(whole_market, browser, http)
        await browser.close()


CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
HERE = {"geolocation": {"latitude": 28.1121, "longitude": 113.0201}, "permissions": ["geolocation", "camera"]}


def local(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M")


async def test_an_employer_registers_and_a_clerk_verifies_it(hall: Hall) -> None:
    async with hall.visit("employer", **DESK) as employer, hall.visit("clerk", **DESK) as clerk:
        await employer.look()
        await hall.sign_in(employer, EMPLOYER.phone)
        await employer.open("/register")
        await employer.look()
        await employer.fill(name=FIRM, credit_code="91350100M000100Y44", licence_no="4301-77", contact_name="甲一")
        await employer.choose(district=DISTRICT)
        await employer.press("Send for checking")
        # The check digit of the code is wrong: said at its field, which has the focus.
        await expect(employer.page.locator("[name=credit_code]")).to_be_focused()
        await expect(employer.page.locator("[name=credit_code]")).to_have_attribute("aria-invalid", "true")
        await employer.fill(credit_code=credit_code("00000700"))
        await employer.press("Send for checking")
        await employer.see("A clerk is checking")
        await employer.look()

        await clerk.look()
        await hall.clerk(clerk)
        await clerk.see("Employers to verify")
        await clerk.look()
        await clerk.open("/employers")
        await clerk.look()
        await clerk.press("The licence agrees: verify")
        await clerk.press("Yes")
        await clerk.hear("Verified.")

        await employer.see("Verified")  # by itself: the message came on the live stream
        await employer.look()


async def test_a_worker_registers_says_when_and_what_and_waits(hall: Hall) -> None:
    async with hall.visit("worker", **PHONE, **HERE) as worker:
        await worker.look()  # the search, without signing in
        await worker.open("/me")
        await worker.look()
        await hall.sign_in(worker, WORKER.phone)
        await worker.open("/register")
        await worker.look()
        await worker.choose(district=DISTRICT)
        await worker.press("下一步")
        await worker.settled()
        await worker.look()
        await worker.fill(name=NAME, id_number=id_number(date(1980, 3, 4), 7))
        await worker.page.get_by_label("快件处理员").check()
        await worker.page.locator("[name=consent]").check()
        await worker.press("提交登记")
        await worker.see("愿意工作的区县")

        await worker.open("/days")
        await worker.look()
        # Not tomorrow: in the evening, the shift below ends then.
        later = (datetime.now(ZONE) + timedelta(days=3)).date()
        await worker.page.get_by_role("button", name=re.compile(str(later))).click()
        await worker.page.get_by_label("当天不接单").check()
        await worker.press("保存当天")
        await worker.hear("已保存，即时生效。")
        await expect(worker.page.get_by_role("button", name=f"{later}: 不接单")).to_be_visible()
        await worker.look()

        await worker.open("/wishes")
        await worker.look()
        await worker.fill(floor_fen_per_hour="20")
        await worker.page.locator("[name=no_night]").check()
        await worker.press("保存")
        await worker.see(NAME)
        await worker.look()

        await worker.open("/wait")
        await worker.press("签到候工")
        await worker.see("您正在候工")
        await worker.look()


async def test_an_employer_sees_how_many_would_fit_and_posts(hall: Hall) -> None:
    async with hall.visit("employer", **PHONE) as employer:
        await hall.sign_in(employer, EMPLOYER.phone)
        await employer.open("/post")
        await employer.look()
        start = datetime.now(UTC) + timedelta(minutes=14)
        await employer.fill(
            title=TITLE,
            place__address=str(PLACE["address"]),
            place__lat=str(PLACE["lat"]),
            place__lon=str(PLACE["lon"]),
            headcount="2",
            period__start=local(start),
            period__end=local(start + timedelta(hours=4)),
            pay__amount_fen="23",
            content="夜间到件分拣，带班培训十分钟后上岗，提供饮水和手套。",
        )
        await employer.choose(occupation="4-02-07-09", district=DISTRICT, pay__unit="hour", pay__mode="same-day")
        await employer.press("有多少人合适？")
        await employer.see(re.compile("目前候工的 .* 人中有"))
        await employer.press("发布")
        await employer.see(TITLE)
        await employer.look()
        hall.gig_id = employer.page.url.rpartition("/")[2]
        await employer.open("/gigs")
        await employer.look()


async def test_a_worker_takes_the_offer_and_finds_the_gig_by_every_way(hall: Hall) -> None:
    async with hall.visit("worker", **PHONE, **HERE) as worker:
        await hall.sign_in(worker, WORKER.phone)
        await worker.open("/offers")
        await worker.look()

        async def accepted() -> bool:
            """An offer stands for a minute; where that passed on a slow machine, the gig is offered again."""
            await worker.open("/offers")
            accept, taken = (
                worker.page.get_by_role("button", name="接受", exact=True),
                worker.page.get_by_text("查看班次"),
            )
            for press in (accept, taken):
                if await press.count():
                    await press.first.click()
                    with suppress(BrowserTimeout):
                        await worker.page.wait_for_url("**/placement/*")
                        return True
            return False

        await eventually(accepted, "an offer that is taken")
        await worker.see("到岗与收工")
        hall.placement_id = worker.page.url.rpartition("/")[2]

        async def insured() -> bool:
            await worker.open("/work")
            await worker.open(f"/placement/{hall.placement_id}")
            return await worker.page.get_by_text("已生效").count() > 0

        await eventually(insured, "the insurance on the page")
        await worker.look()
        async with worker.page.expect_download() as kept:
            await worker.press("下载 PDF")
        assert (await (await kept.value).path()).read_bytes().startswith(b"%PDF")

        await worker.open("/find?q=分拣&near=me&meals=")
        await worker.see(TITLE)
        await worker.look()
        await worker.open("/find?near=nearest")
        await worker.see(re.compile("附近"))
        await worker.open("/find?q=没有这样的岗位")
        await worker.see("没有符合条件的岗位")
        await worker.open("/find?list=fits&near=me")
        await worker.look()
        await worker.open(f"/gig/{hall.gig_id}")
        await worker.look()
        await worker.press("为什么派给我／没派给我？")
        await expect(worker.page.locator("main section ul li").first).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.feature("F17")
async def test_the_sites_code_is_shown_scanned_and_without_a_signal_sent_later(hall: Hall) -> None:
    async with (
        hall.visit("employer", **DESK) as employer,
        hall.visit("worker", **PHONE, **HERE) as worker,
    ):
        await hall.sign_in(employer, EMPLOYER.phone)
        await employer.open(f"/site/{hall.gig_id}")
        await expect(employer.page.locator(".site .code")).to_have_text(re.compile(r"\d{6}"), timeout=PATIENCE_MS)
        first = await employer.page.locator(".site .code").text_content()

        await hall.sign_in(worker, WORKER.phone)
        await worker.open("/work")
        await worker.look()
        await worker.open(f"/placement/{hall.placement_id}")
        await worker.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await worker.context.set_offline(True)
        await worker.page.reload()  # in a cellar: the page opens from what the phone kept
        await worker.see("无网络")
        picture = await employer.page.locator(".site svg").screenshot()
        shown = await asyncio.to_thread(lambda: zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))[0].text)
        code = re.search(r"code=(\d{6})", shown)
        assert code
        assert f"gig={hall.gig_id}" in shown
        await worker.fill(code=code.group(1))
        await worker.press("用签到码开工")
        await worker.see("已保存在本机")
        await worker.look()
        await worker.context.set_offline(False)
        await worker.see("离线补传")
        await worker.see("现场签到码")
        await expect(employer.page.locator(".site .code")).not_to_have_text(str(first), timeout=PATIENCE_MS)


async def test_the_camera_reads_the_sites_code(hall: Hall) -> None:
    """The browser here has no BarcodeDetector, so one that sees a code stands in; the camera is Chromium's own."""
    async with hall.visit("worker", **PHONE, **HERE) as worker:
        await worker.page.add_init_script(
            "window.BarcodeDetector = class { async detect(video) { return video.videoWidth ? [{rawValue: 'kuaizhao:"
            "check-in?gig=other&code=000000'}] : []; } }"
        )
        await worker.page.reload()
        await worker.settled()
        seen = await worker.page.evaluate("import('/page/people/scan.js').then((scanning) => scanning.scan())")
        assert seen == {"gig_id": "other", "code": "000000"}
        said = "import('/page/people/scan.js').then((s) => [s.siteCode('https://elsewhere/?code=1'), s.siteCode('')])"
        assert await worker.page.evaluate(said) == [None, None]


async def test_the_shift_ends_and_its_hours_and_pay_go_from_side_to_side(hall: Hall) -> None:
    async with (
        hall.visit("worker", **PHONE, **HERE) as worker,
        hall.visit("employer", **DESK) as employer,
    ):
        await hall.sign_in(worker, WORKER.phone)
        await hall.sign_in(employer, EMPLOYER.phone)
        await employer.open("/people")
        await employer.look()
        await employer.open(f"/placement/{hall.placement_id}")
        await employer.see("site's code")
        await employer.look()
        await worker.open(f"/placement/{hall.placement_id}")
        await worker.press("收工")
        await worker.press("确定")
        await worker.see("评价本次用工")
        await worker.look()
        await worker.page.get_by_label("★★★★★").check()
        await worker.press("提交评价")
        await worker.see("双方都评价后")
        for view in ("/pay", "/notices", "/preferences", "/offers", "/cases"):
            await worker.open(view)
            await worker.look()
        await worker.open("/preferences")
        await worker.fill(quiet_from="21:00", quiet_until="07:00")
        await worker.page.locator("form", has=worker.page.locator("[name=quiet_from]")).get_by_role("button").click()
        await worker.hear("已保存。")
        await worker.page.reload()
        await expect(worker.page.locator("[name=quiet_from]")).to_have_value("21:00", timeout=PATIENCE_MS)
        await employer.open("/hours")
        await employer.look()
        for view in ("/notices", "/preferences"):
            await employer.open(view)
            await employer.look()


async def test_a_case_is_opened_in_three_steps_and_a_clerk_takes_it_up(hall: Hall) -> None:
    async with hall.visit("worker", **PHONE) as worker, hall.visit("clerk", **DESK) as clerk:
        await hall.sign_in(worker, WORKER.phone)
        await worker.open("/open-case")
        await worker.look()
        await worker.press("工作场所不安全")
        await worker.see("是哪一次用工？")
        await worker.look()
        await worker.page.get_by_role("button", name=TITLE).first.click()
        await worker.see("发生了什么？")
        await worker.look()
        await worker.fill(what_happened="传送带没有护栏，已告知带班。")
        await worker.press("提交")
        receipt = worker.page.locator("dd b")
        await expect(receipt).to_have_text(re.compile(r"^\d{6}-[0-9A-Z]{4}-[0-9A-Z]{4}$"), timeout=PATIENCE_MS)
        await worker.look()

        await hall.clerk(clerk)
        await clerk.open("/cases")
        await clerk.look()
        await clerk.page.get_by_role("link", name=re.compile(str(await receipt.text_content()))).click()
        await clerk.see("传送带没有护栏，已告知带班。")
        await clerk.look()
        await clerk.page.get_by_text("Taken up", exact=True).first.click()
        await clerk.press("Taken up")
        await clerk.hear("Entered.")
        for view in ("/reviews", "/appeals", "/sanctions", "/excuses", "/timesheets", "/alerts"):
            await clerk.open(view)
            await clerk.look()


async def test_a_clerk_registers_somebody_at_the_counter_and_reads_the_rules(hall: Hall) -> None:
    async with hall.visit("clerk", **DESK) as clerk:
        await hall.clerk(clerk)
        await clerk.open("/counter")
        await clerk.look()
        await clerk.fill(phone=People(1).worker(N + 1).phone)
        await clerk.choose(district=DISTRICT)
        await clerk.press("Go on")
        await clerk.see("What you agree to")
        await clerk.look()
        await clerk.fill(name="丙八", id_number=id_number(date(1975, 6, 7), 8))
        await clerk.page.locator("[name=consent]").check()
        await clerk.press("Register")
        await clerk.see("This person is registered")
        await clerk.look()
        await clerk.press("Check in")
        await clerk.hear(re.compile("Waits until"))
        await clerk.open(f"/rules?service=rights&district={DISTRICT}")
        await clerk.see("no_show_minutes")
        await clerk.look()
        assert await clerk.page.get_by_role("button", name="Change").count() == 0  # for operators


async def test_an_operator_changes_a_rule_with_a_reason_and_the_history_has_it(hall: Hall) -> None:
    async with hall.visit("clerk", **DESK) as operator:
        await operator.fill(username="operator", password=hall.market.operator_password)
        await operator.page.locator("main form button.primary").click()
        await operator.open("/rules?service=rights&district=330110&area=330110")
        await operator.look()
        await operator.choose(path="radius_m")
        await operator.fill(value="250", why="The yard of the market is small.")
        await operator.press("Change")
        await operator.hear("In force, and in the history.")
        await operator.see("The yard of the market is small.")
        await expect(operator.page.get_by_role("row", name=re.compile("^radius_m"))).to_contain_text("250")


async def test_somebody_without_a_mouse_signs_in(hall: Hall) -> None:
    async with hall.visit("clerk", **DESK) as clerk:
        await clerk.settled()
        await clerk.page.keyboard.press("Tab")
        await expect(clerk.page.locator("#skip")).to_be_focused()
        await clerk.page.keyboard.press("Enter")
        await clerk.page.keyboard.press("Tab")
        await expect(clerk.page.locator("[name=username]")).to_be_focused()
        await clerk.page.keyboard.type("clerk-pages")
        await clerk.page.keyboard.press("Tab")
        await clerk.page.keyboard.type("not-the-right-password")
        await clerk.page.keyboard.press("Enter")
        await expect(clerk.page.get_by_role("alert")).to_contain_text("not right", timeout=PATIENCE_MS)
