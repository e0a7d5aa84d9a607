"""The web process over HTTP: the page and its headers, traces in and out, the SMS sink, and what stays closed."""

import gzip
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clients.web.app import OTLP_BYTES, PAGE, make_app
from clients.web.events import Feed
from clients.web.sms import Sms, SmsSink
from clients.web.traces import TraceStore
from shared.settings import Settings

PROTOBUF = {"content-type": "application/x-protobuf"}
TRACE = "ab" * 16


def otlp(*steps: tuple[int, int, str]) -> bytes:
    """An export request with spans (id, parent, service), each a millisecond after the last."""
    request = ExportTraceServiceRequest()
    for n, (id, parent, service) in enumerate(steps):
        resource = request.resource_spans.add()
        resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
        span = resource.scope_spans.add().spans.add()
        span.trace_id, span.span_id = bytes.fromhex(TRACE), id.to_bytes(8)
        span.parent_span_id = parent.to_bytes(8) if parent else b""
        span.name, span.kind = f"step {id}", Span.SPAN_KIND_PRODUCER
        span.start_time_unix_nano, span.end_time_unix_nano = n * 1_000_000, (n + 1) * 1_000_000
    return bytes(request.SerializeToString())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def web(clock: Clock, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "index.html").write_text("<h1>Events</h1>")
    (tmp_path / "openapi.json").write_text('{"openapi": "3.1.0"}')
    app = make_app(Settings(), feed=Feed(), traces=TraceStore(clock=clock), docs=tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as client:
        yield client


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "query", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"),
        ("en-GB,en;q=0.9", "", "en"),
        ("fr", "", "zh-CN"),
        ("zh-CN", "?lang=en", "en"),
    ],
)
async def test_the_page_speaks_the_readers_language(
    web: httpx.AsyncClient, accepted: str, query: str, language: str
) -> None:
    answer = await web.get(f"/{query}", headers={"accept-language": accepted})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["vary"] == "accept-language"


async def test_the_page_may_run_its_own_scripts_and_nothing_else(web: httpx.AsyncClient) -> None:
    policy = (await web.get("/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_nothing_in_the_page_is_inline_or_from_elsewhere() -> None:
    for html in (page.read_text(encoding="utf-8") for page in PAGE.rglob("*.html")):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html)
    for file in filter(Path.is_file, PAGE.rglob("*")):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(", text), file.name


def test_every_text_of_the_page_is_there_in_both_languages() -> None:
    words = (PAGE / "words.js").read_text(encoding="utf-8")
    chinese, english = words[: words.index("  en: {")], words[words.index("  en: {") : words.index("const EVENTS")]
    key = re.compile(r'(?:^|[{,]\s*|^\s+)"?([a-z0-9][\w-]*)"?: ["{]', re.MULTILINE)
    assert set(key.findall(chinese)) - {"zh"} == set(key.findall(english)) - {"en"}
    for used in re.findall(r'data-t="([^"]+)"', (PAGE / "index.html").read_text(encoding="utf-8")):
        assert f'"{used}":' in chinese or f" {used}:" in chinese, used


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/live/places", "/sms?to=x", "/nothing", "/docs/", "/worker"])
async def test_every_answer_carries_the_security_headers(web: httpx.AsyncClient, path: str) -> None:
    headers = (await web.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_the_page_learns_the_names_of_districts_and_occupations(web: httpx.AsyncClient) -> None:
    places = (await web.get("/live/places")).json()
    assert places["districts"][0] == {
        "code": "430102", "zh": "芙蓉区", "en": "Furong", "area": {"zh": "长沙市", "en": "Changsha"},
    }  # fmt: skip
    assert places["occupations"]["4-02-07-09"] == {
        "zh": "快件处理员", "en": "Parcel sorter", "skill": "parcel-sorting",
    }  # fmt: skip


@pytest.mark.parametrize("role", ["worker", "employer", "clerk"])
async def test_each_role_has_its_page_which_alone_may_use_camera_and_position(
    web: httpx.AsyncClient, role: str
) -> None:
    answer = await web.get(f"/{role}", headers={"accept-language": "en"})
    assert '<html lang="en">' in answer.text
    assert f'data-role="{role}"' in answer.text
    script = re.search(r'src="(/page/people/\w+\.js)"', answer.text)
    assert script
    assert (await web.get(script.group(1))).status_code == 200
    assert answer.headers["permissions-policy"] == "camera=(self), geolocation=(self), microphone=()"
    assert (await web.get("/")).headers["permissions-policy"] == "camera=(), geolocation=(), microphone=()"


async def test_the_service_worker_stands_at_the_root_as_a_script_of_ours(web: httpx.AsyncClient) -> None:
    answer = await web.get("/offline.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "script-src 'self'; worker-src 'self'" in answer.headers["content-security-policy"]


def test_every_sentence_of_the_pages_of_people_is_there_in_both_languages() -> None:
    """`t(english, chinese)`; what names a language is no sentence."""
    sentences = re.compile(r"""\bt\((["'`])(.*?)\1, (["'`])(.*?)\3\)""")
    texts = [file.read_text(encoding="utf-8") for file in (PAGE / "people").glob("*.js")]
    found = [(one[1], one[3]) for text in texts for one in sentences.findall(text)]
    assert len(found) > 300
    languages = {("切换到中文", "Switch to English"), ("en", "zh"), ("en-GB", "zh-CN")}
    han, letters = re.compile(r"[\u4e00-\u9fff]"), re.compile(r"[A-Za-z]{2}")
    for english, chinese in set(found) - languages:
        assert not han.search(english), english
        assert han.search(chinese) or not letters.search(re.sub(r"\$\{.*?\}", "", chinese)), chinese


async def test_the_documentation_is_served_where_it_was_made(web: httpx.AsyncClient) -> None:
    assert (await web.get("/docs/")).text == "<h1>Events</h1>"
    assert (await web.get("/api/openapi.json")).json() == {"openapi": "3.1.0"}


async def test_where_no_documentation_was_made_there_is_none(tmp_path: Path) -> None:
    app = make_app(Settings(), feed=Feed(), docs=tmp_path / "missing")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as web:
        assert (await web.get("/docs/")).status_code == 404
        assert (await web.get("/api/openapi.json")).status_code == 404


async def test_the_probes_answer_whether_or_not_kafka_is_there(web: httpx.AsyncClient) -> None:
    assert (await web.get("/live")).json() == {"alive": True}
    assert (await web.get("/ready")).json() == {"ready": True, "reasons": [], "kafka": "connecting"}


# --- traces ----------------------------------------------------------------------------------------------------------

WHOLE = ((1, 0, "gateway"), (2, 1, "posting"), (3, 2, "matching"), (4, 3, "notify"))


@pytest.mark.parametrize("zipped", [False, True])
async def test_a_trace_sent_by_otlp_can_be_asked_for(web: httpx.AsyncClient, zipped: bool) -> None:
    body = gzip.compress(otlp(*WHOLE)) if zipped else otlp(*WHOLE)
    headers = PROTOBUF | ({"content-encoding": "gzip"} if zipped else {})
    taken = await web.post("/otlp/v1/traces", content=body, headers=headers)
    assert (taken.status_code, taken.content, taken.headers["content-type"]) == (200, b"", "application/x-protobuf")
    trace = (await web.get(f"/live/traces/{TRACE}")).json()
    assert trace["services"] == ["gateway", "posting", "matching", "notify"]
    assert trace["whole"]
    assert [span["parent"] for span in trace["spans"]] == ["", f"{1:016x}", f"{2:016x}", f"{3:016x}"]


async def test_the_latest_journey_is_there_once_it_is_quiet(web: httpx.AsyncClient, clock: Clock) -> None:
    assert (await web.get("/live/journey")).json() == {"journey": None}
    await web.post("/otlp/v1/traces", content=otlp(*WHOLE), headers=PROTOBUF)
    assert (await web.get("/live/journey")).json() == {"journey": None}
    clock.now += 3
    journey = (await web.get("/live/journey")).json()["journey"]
    assert (journey["trace_id"], journey["span_count"], journey["duration_us"]) == (TRACE, 4, 4000)


async def test_an_unknown_trace_is_404(web: httpx.AsyncClient) -> None:
    assert (await web.get(f"/live/traces/{TRACE}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"garbage", PROTOBUF, 400),
        (b"garbage", PROTOBUF | {"content-encoding": "gzip"}, 400),
        (gzip.compress(otlp(*WHOLE))[:-9], PROTOBUF | {"content-encoding": "gzip"}, 400),
        (b"", PROTOBUF | {"content-encoding": "br"}, 400),
        (b"{}", {"content-type": "application/json"}, 415),
        (zlib.compress(bytes(OTLP_BYTES + 1), wbits=31), PROTOBUF | {"content-encoding": "gzip"}, 413),
    ],
)
async def test_what_is_no_trace_request_is_refused(
    web: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await web.post("/otlp/v1/traces", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_small_body_cannot_unpack_to_fill_the_memory(web: httpx.AsyncClient) -> None:
    bomb = gzip.compress(bytes(8 * OTLP_BYTES))
    tracemalloc.start()
    try:
        answer = await web.post("/otlp/v1/traces", content=bomb, headers=PROTOBUF | {"content-encoding": "gzip"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 4 * OTLP_BYTES


@pytest.mark.parametrize("signal", ["metrics", "logs"])
async def test_other_signals_are_taken_and_forgotten(web: httpx.AsyncClient, signal: str) -> None:
    assert (await web.post(f"/otlp/v1/{signal}", content=b"anything", headers=PROTOBUF)).status_code == 200


# --- SMS -------------------------------------------------------------------------------------------------------------


def sms(key: str, text: str = "验证码 123456", to: str = "+8619900000001") -> dict[str, str]:
    return {"to": to, "text": text, "idempotency_key": key}


async def test_messages_for_a_number_come_back_the_newest_last(web: httpx.AsyncClient) -> None:
    ids = [(await web.post("/sms", json=sms(f"k{n}", f"text {n}"))).json()["message_id"] for n in range(3)]
    await web.post("/sms", json=sms("other", to="+8619900000002"))
    found = (await web.get("/sms", params={"to": "+8619900000001"})).json()
    assert [(message["message_id"], message["text"]) for message in found] == [
        (id, f"text {n}") for n, id in enumerate(ids)
    ]


async def test_a_plus_sign_need_not_be_escaped(web: httpx.AsyncClient) -> None:
    await web.post("/sms", json=sms("k"))
    assert len((await web.get("/sms?to=+8619900000001")).json()) == 1


async def test_the_same_key_is_the_same_message(web: httpx.AsyncClient) -> None:
    first, second = await web.post("/sms", json=sms("k")), await web.post("/sms", json=sms("k"))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len((await web.get("/sms", params={"to": "+8619900000001"})).json()) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("to", "19900000001"), ("text", ""), ("idempotency_key", ""), ("to", "+86 199 0000 0001")]
)
async def test_a_message_that_cannot_be_sent_is_refused_by_field(
    web: httpx.AsyncClient, field: str, value: str
) -> None:
    answer = await web.post("/sms", json=sms("k") | {field: value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_calls_and_posts_are_kept_beside_messages(web: httpx.AsyncClient) -> None:
    posted = {"id": "k3", "text": "posted"}
    for path, body in (("", sms("k1")), ("/voice", sms("k2")), ("/webhook", posted), ("/webhook", posted)):
        assert (await web.post(f"/sms{path}", json=body)).status_code == 202
    latest = (await web.get("/sms/latest")).json()
    assert [each["channel"] for each in latest] == ["webhook", "voice", "sms"]
    assert [each["to"] for each in latest] == ["", "+8619900000001", "+8619900000001"]


def test_the_sink_is_bounded() -> None:
    sink = SmsSink(most=3)
    for n in range(5):
        sink.take(Sms(**sms(f"k{n}", f"text {n}")))
    assert [sent.text for sent in sink.sent_to("+8619900000001")] == ["text 2", "text 3", "text 4"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sms?to=%2B8619900000001"),
        ("GET", "/sms/latest"),
        ("POST", "/sms"),
        ("POST", "/sms/voice"),
        ("GET", "/insurer/policies"),
        ("POST", "/insurer/enrolments"),
        ("POST", "/insurer/withdrawals"),
        ("POST", "/otlp/v1/traces"),
        ("POST", "/otlp/v1/logs"),
    ],
)
async def test_what_is_for_this_machine_is_not_there_for_who_comes_by_a_gateway(
    web: httpx.AsyncClient, method: str, path: str
) -> None:
    await web.post("/sms", json=sms("k"))
    answer = await web.request(method, path, headers={"x-forwarded-for": "203.0.113.9"}, json=sms("k2"))
    assert answer.status_code == 404
    assert "123456" not in answer.text
