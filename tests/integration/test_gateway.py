"""The gateway by its shipped configuration: who may pass, what is hidden, what is bounded, and what is told."""

import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from socket import create_server, socket
from typing import Any

import httpx
import pytest
import yaml
from joserfc.jwk import ECKey
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.auth import BAD_TOKEN, NO_TOKEN
from shared.http import BODY_BYTES, TOO_LARGE
from tests.integration.gateway_edge import CONFIG, DRAIN, ENVOY, SERVICES, Gateway, bearer, eventually, token

EXPIRED = 1_577_836_800  # 2020
NOT_YET = 4_102_444_800  # 2100


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway")).running() as gateway:
        yield gateway


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose rate limits do not refill, so that a test can count what passes."""
    with Gateway(tmp_path, frozen=True).running() as gateway:
        yield gateway


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"https://kuaizhao.local/problems/{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    return body


def test_the_shipped_configuration_is_valid() -> None:
    check = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", CONFIG], check=False, capture_output=True, text=True, timeout=60
    )
    assert check.returncode == 0, check.stderr
    assert "deprecated" not in check.stderr.lower()


def test_environment_specific_are_only_socket_addresses() -> None:
    """The local run rewrites socket addresses and nothing else, so no port may hide anywhere else."""
    text = re.sub(r"port_value: \d+|#.*", "", CONFIG.read_text())
    assert not re.findall(r"\b(?:8\d{3}|localhost|127\.0\.0\.1:\d+)\b", text)
    assert set(SERVICES) <= {
        cluster["name"] for cluster in yaml.safe_load(CONFIG.read_text())["static_resources"]["clusters"]
    }


@pytest.mark.parametrize("service", SERVICES[:-1])
def test_a_signed_in_caller_reaches_each_service_by_its_claims(gateway: Gateway, service: str) -> None:
    seen = gateway.http.post(f"/api/{service}/things", headers=bearer(sub="clerk-7", role="clerk"), json={}).json()
    assert (seen["service"], seen["path"]) == (service, f"/api/{service}/things")
    assert (seen["headers"]["x-user-id"], seen["headers"]["x-user-role"]) == ("clerk-7", "clerk")
    assert seen["headers"]["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": EXPIRED},
        {"exp": None},
        {"nbf": NOT_YET},
        {"iss": "https://elsewhere.example"},
        {"aud": "another-system"},
        {"key": ECKey.generate_key("P-256", {"kid": "a", "alg": "ES256"})},
        {"key": ECKey.generate_key("P-256", {"kid": "unknown", "alg": "ES256"})},
    ],
    ids=["expired", "never expires", "not yet valid", "other issuer", "other audience", "other key", "unknown key id"],
)
def test_a_bad_token_is_refused(gateway: Gateway, claims: dict[str, Any]) -> None:
    answer = gateway.http.get("/api/workers/me", headers=bearer(**claims))
    assert (answer.status_code, problem(answer)["code"]) == (401, "invalid-token")
    assert "invalid_token" in answer.headers["www-authenticate"]
    assert "x-served-by" not in answer.headers


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer a.b.c", "Basic d29ya2VyOg==", token()])
def test_what_is_no_bearer_token_is_refused(gateway: Gateway, authorization: str) -> None:
    answer = gateway.http.get("/api/rights/cases", headers={"authorization": authorization} if authorization else {})
    assert (answer.status_code, problem(answer)["code"]) == (401, "invalid-token" if authorization else "no-token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_unsigned_token_is_refused(gateway: Gateway) -> None:
    _, payload, _ = token().split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{payload}."
    assert gateway.http.get("/api/workers/me", headers={"authorization": f"Bearer {unsigned}"}).status_code == 401


def test_a_token_in_the_query_string_counts_for_nothing(gateway: Gateway) -> None:
    assert gateway.http.get("/api/workers/me", params={"access_token": token()}).status_code == 401


@pytest.mark.parametrize(
    ("accepts", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en", "en"), ("fr, en-GB;q=0.9, zh;q=0.8", "en"), ("de", "zh"), ("", "zh")],
)
def test_a_refusal_has_the_services_own_words_in_the_callers_language(
    gateway: Gateway, accepts: str, language: str
) -> None:
    speaks = {"accept-language": accepts}
    missing = gateway.http.get("/api/workers/me", headers=speaks)
    assert problem(missing)["detail"] == NO_TOKEN.say(language, {})
    expired = gateway.http.get("/api/workers/me", headers=speaks | bearer(exp=1))
    assert problem(expired)["detail"] == BAD_TOKEN.say(language, {})
    large = gateway.http.post("/api/workers/me", headers=speaks | bearer(), content=b" " * (BODY_BYTES + 1))
    assert problem(large)["detail"] == TOO_LARGE.say(language, {"most": BODY_BYTES})


PUBLIC = [
    ("GET", "/"),
    ("GET", "/live/places"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/rights/openapi.json"),
    ("GET", "/api/identity/.well-known/jwks.json"),
    ("GET", "/api/identity/.well-known/openid-configuration"),
    ("POST", "/api/identity/codes"),
    ("POST", "/api/identity/token"),
    ("POST", "/api/identity/revoke"),
    ("GET", "/api/matching/board"),
    ("GET", "/api/matching/board/430102"),
    ("HEAD", "/api/posting/gigs"),
    ("GET", "/api/posting/gigs?district=430102"),
    ("GET", "/api/posting/gigs/0190"),
    ("GET", "/api/posting/gigs?q=%E5%88%86%E6%8B%A3&lat=28.2&lon=113.0&minutes=15"),
    ("GET", "/api/posting/guide-prices?district=430102&occupation=4-02"),
    ("GET", "/api/workers/stations?district=430102"),
    ("GET", "/api/workers/stations?lat=28.2&lon=113.0&within_m=3000"),
    ("GET", "/api/workers/registration-form?district=430102"),
    ("GET", "/api/matching/rules?district=430102"),
]


@pytest.mark.parametrize(("method", "path"), PUBLIC)
def test_public_routes_need_no_token(gateway: Gateway, method: str, path: str) -> None:
    assert gateway.http.request(method, path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/posting/gigs"),
        ("PUT", "/api/posting/gigs/0190"),
        ("DELETE", "/api/matching/board/430102"),
        ("GET", "/api/posting/gigsmith"),
        ("POST", "/api/posting/guide-prices"),
        ("GET", "/api/posting/guide-prices/430102"),
        ("GET", "/api/matching/boards"),
        ("POST", "/api/identity/accounts"),
        ("GET", "/api/identity/tokens"),
        ("GET", "/api/posting/gigs/../employers"),
        ("GET", "/api/posting/gigs/%2e%2e/employers"),
        ("GET", "//api//workers/me"),
        ("OPTIONS", "/api/workers/me"),
    ],
)
def test_all_else_needs_one(gateway: Gateway, method: str, path: str) -> None:
    url = httpx.URL(gateway.http.base_url).copy_with(raw_path=path.encode())
    assert gateway.http.request(method, url).status_code == 401


def test_public_routes_still_check_a_token_that_is_sent(gateway: Gateway) -> None:
    known = gateway.http.get("/api/posting/gigs/1", headers=bearer(sub="employer-3", role="employer")).json()
    assert known["headers"]["x-user-id"] == "employer-3"
    assert gateway.http.get("/api/posting/gigs/1", headers=bearer(exp=1)).status_code == 401


def test_signing_in_ignores_an_expired_token(gateway: Gateway) -> None:
    assert gateway.http.post("/api/identity/token", headers=bearer(exp=1)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/posting/gigs/1"), ("POST", "/api/identity/codes"), ("GET", "/any")]
)
def test_spoofed_identity_is_removed_from_public_requests(gateway: Gateway, method: str, path: str) -> None:
    spoof = {
        "X-User-Id": "operator-1",
        "x-user-role": "operator",
        "X-USER-districts": "430102",
        "x-envoy-retry-on": "5xx",
    }
    headers = gateway.http.request(method, path, headers=spoof).json()["headers"]
    assert not [name for name in headers if name.startswith(("x-user-", "x-envoy-"))]


def test_spoofed_identity_gives_way_to_the_token(gateway: Gateway) -> None:
    spoof = {"X-User-Id": "operator-1", "x-user-role": "operator", "x-user-districts": "430102"}
    headers = gateway.http.get("/api/workers/me", headers=bearer(sub="worker-9") | spoof).json()["headers"]
    assert {name: value for name, value in headers.items() if name.startswith("x-user-")} == {
        "x-user-id": "worker-9",
        "x-user-role": "worker",
    }
    assert gateway.http.get("/any", headers={"x_user_id": "operator-1"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        *("/live", "/ready", "/metrics", "/internal/state", "/otlp/v1/traces", "/sms", "/sms/19900000001"),
        *("/api/workers/metrics", "/api/posting/internal/state", "/api/nothing/here", "/api/notify/live"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_for_outside_is_not_found(gateway: Gateway, method: str, path: str) -> None:
    answer = gateway.http.request(method, path, headers=bearer())
    assert answer.status_code == 404
    assert problem(answer)["code"] == "not-found"


def test_services_see_where_a_request_came_from(gateway: Gateway) -> None:
    """One address, the connection's: they count sign-ins by it (uvicorn takes the first of several)."""
    spoof = {"x-forwarded-for": "203.0.113.9, 203.0.113.10"}
    seen = gateway.http.post("/api/identity/codes", headers=spoof).json()["headers"]
    assert seen["x-forwarded-for"] == "127.0.0.1"


def test_an_encoded_slash_hides_no_path(gateway: Gateway) -> None:
    for path in (b"/otlp%2fv1/traces", b"/api%2Fworkers/me"):
        answer = gateway.http.get(httpx.URL(gateway.http.base_url).copy_with(raw_path=path))
        assert problem(answer)["code"] == "bad-request"


def test_no_other_site_may_read_answers(gateway: Gateway) -> None:
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
    for answer in (
        gateway.http.options("/api/posting/gigs", headers=headers),
        gateway.http.get("/api/posting/gigs", headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_one_users_haste_does_not_slow_another(frozen: Gateway) -> None:
    hasty, calm = bearer(sub="agency-1", role="agency"), bearer(sub="worker-2")
    statuses = [frozen.http.get("/api/workers/me", headers=hasty).status_code for _ in range(110)]
    assert statuses == [200] * 100 + [429] * 10
    refusal = frozen.http.post("/api/posting/gigs", headers=hasty)
    assert problem(refusal)["code"] == "too-many-requests"
    assert int(refusal.headers["retry-after"]) >= 1
    assert frozen.http.get("/api/workers/me", headers=calm).status_code == 200


def test_signing_in_is_bounded_per_address(frozen: Gateway) -> None:
    statuses = [frozen.http.post("/api/identity/codes").status_code for _ in range(310)]
    assert statuses == [200] * 300 + [429] * 10
    another = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=frozen.http.base_url, transport=another) as neighbour:
        assert neighbour.post("/api/identity/codes").status_code == 200
    spoofed = frozen.http.post("/api/identity/codes", headers={"x-forwarded-for": "203.0.113.9"})
    assert spoofed.status_code == 429


def test_reading_without_a_token_is_bounded_per_address(frozen: Gateway) -> None:
    statuses = [frozen.http.get("/api/posting/gigs").status_code for _ in range(510)]
    assert statuses == [200] * 500 + [429] * 10
    assert frozen.http.get("/api/posting/gigs", headers=bearer()).status_code == 200
    assert frozen.http.get("/").status_code == 200


def test_a_body_has_the_services_own_bound(gateway: Gateway) -> None:
    fits = gateway.http.post("/api/posting/gigs", headers=bearer(), content=b"x" * BODY_BYTES)
    assert fits.json()["bytes"] == BODY_BYTES
    over = gateway.http.post("/api/posting/gigs", headers=bearer(), content=b"x" * (BODY_BYTES + 1))
    assert (over.status_code, problem(over)["code"]) == (413, "too-large")


@pytest.mark.parametrize(("service", "path"), [("notify", "/api/notify/stream"), ("web", "/live/events")])
def test_a_streams_events_arrive_as_they_are_sent(gateway: Gateway, service: str, path: str) -> None:
    news = gateway.upstreams[service].news
    with gateway.http.stream("GET", path, headers=bearer()) as stream:
        lines = (line for line in stream.iter_lines() if line)
        for text in ("offer", "placement", "reminder"):  # The next is sent only when this one is here.
            news.put(text)
            assert next(lines) == f"data: {text}"
        news.put(None)
        assert list(lines) == []


def exported(gateway: Gateway, trace: str) -> Span:
    spans = eventually(lambda: gateway.spans(trace))
    assert len(spans) == 1
    service, span = spans[0]
    assert service == "gateway"
    return span


def test_a_callers_trace_goes_on_through_the_gateway(gateway: Gateway) -> None:
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    sent = {"traceparent": f"00-{trace}-{parent}-01", "tracestate": "agency=1"}
    seen = gateway.http.get("/api/rights/pay/7?near=28.2,112.9", headers=bearer() | sent).json()["headers"]
    span = exported(gateway, trace)
    assert (span.parent_span_id.hex(), span.kind, span.name) == (parent, Span.SPAN_KIND_SERVER, "GET rights")
    assert seen["traceparent"] == f"00-{trace}-{span.span_id.hex()}-01"
    assert seen["tracestate"] == "agency=1"


def test_a_request_without_a_trace_begins_one(gateway: Gateway) -> None:
    seen = gateway.http.post("/api/workers/check-ins", headers=bearer(), json={}).json()["headers"]
    _, trace, span_id, sampled = seen["traceparent"].split("-")
    span = exported(gateway, trace)
    assert (span.span_id.hex(), span.parent_span_id, sampled) == (span_id, b"", "01")


def test_a_refused_request_is_traced_too(gateway: Gateway) -> None:
    trace = secrets.token_hex(16)
    gateway.http.get("/api/workers/me", headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"})
    attributes = {a.key: a.value.string_value for a in exported(gateway, trace).attributes}
    assert attributes["http.status_code"] == "401"


def test_neither_spans_nor_logs_say_who_asked_or_for_what(gateway: Gateway) -> None:
    trace, secret = secrets.token_hex(16), "19900000042"
    headers = bearer(sub="worker-secret") | {
        "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01",
        "user-agent": "phone-of-somebody",
        "x-forwarded-for": "203.0.113.9",
    }
    gateway.http.get(f"/api/workers/search?phone={secret}", headers=headers)
    span = str(exported(gateway, trace))
    line = eventually(lambda: [line for line in gateway.log().splitlines() if trace in line])[0]
    assert '"status":200' in line
    assert '"path":"/api/workers/search"' in line
    for told in (span, line):
        for personal in (secret, "phone=", "worker-secret", "phone-of-somebody", "127.0.0.1", "203.0.113.9", "eyJ"):
            assert personal not in told


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_restarting_service_is_waited_for(gateway: Gateway, method: str) -> None:
    posting = gateway.upstreams["posting"]
    before = gateway.stat("cluster.posting.upstream_rq_retry")
    posting.stop()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(gateway.http.request, method, "/api/posting/gigs/1", headers=bearer())
        eventually(lambda: gateway.stat("cluster.posting.upstream_rq_retry") > before)
        posting.start()
        assert answer.result().status_code == 200


@pytest.mark.parametrize(("method", "status", "arrivals"), [("GET", 200, 2), ("POST", 503, 1)])
def test_only_a_read_is_sent_again_after_it_was_sent(gateway: Gateway, method: str, status: int, arrivals: int) -> None:
    """A command whose connection broke may have taken effect: its caller repeats it, with its idempotency key."""
    posting = gateway.upstreams["posting"]
    posting.stop()
    arrived: list[bytes] = []
    answered = threading.Event()

    def break_the_first(server: socket) -> None:
        while not answered.is_set():
            with suppress(TimeoutError):
                connection, _ = server.accept()
                with connection:
                    arrived.append(connection.recv(65536))
                    if len(arrived) > 1:
                        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with create_server(("127.0.0.1", posting.port)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(0.1)
        pool.submit(break_the_first, server)
        try:
            answer = gateway.http.request(method, "/api/posting/gigs/1", headers=bearer())
        finally:
            answered.set()
    posting.start()
    assert (answer.status_code, len(arrived)) == (status, arrivals)
    if status == 503:
        assert problem(answer)["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1


def test_tokens_are_checked_while_identity_is_away(gateway: Gateway) -> None:
    identity = gateway.upstreams["identity"]
    identity.stop()
    try:
        assert gateway.http.get("/api/workers/me", headers=bearer()).status_code == 200
        assert gateway.http.get("/api/workers/me", headers=bearer(exp=1)).status_code == 401
    finally:
        identity.start()


def test_its_own_figures_are_there_for_prometheus(gateway: Gateway) -> None:
    figures = httpx.get(gateway.metrics_url).text
    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="edge"}' in figures
    assert httpx.get(gateway.metrics_url.replace("/metrics", "/quitquitquit")).status_code == 404


def test_draining_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    with Gateway(tmp_path).running() as gateway:
        news = gateway.upstreams["notify"].news
        with gateway.http.stream("GET", "/api/notify/stream", headers=bearer()) as stream:
            lines = (line for line in stream.iter_lines() if line)
            news.put("before")
            assert next(lines) == "data: before"
            drain = subprocess.Popen(["bash", str(DRAIN), str(gateway.admin.base_url.port)])
            eventually(lambda: gateway.http.get("/").headers.get("connection") == "close")
            assert drain.poll() is None
            news.put("after")
            assert next(lines) == "data: after"
            news.put(None)
            assert list(lines) == []
        assert drain.wait(10) == 0
