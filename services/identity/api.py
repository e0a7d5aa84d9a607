"""HTTP in: codes, tokens, keys, and the accounts that clerks and operators make."""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from services.identity import grants, keys
from services.identity.domain import (
    CODE_LIFE,
    CODE_TRIES,
    CODES_PER_PHONE,
    PASSWORD_TRIES,
    Area,
    Phone,
    Username,
    checked_password,
    masked,
    same_password,
)
from services.identity.grants import Refused
from services.identity.passwords import Passwords
from services.identity.personal import UNUSED
from services.identity.shield import Costs, Shield
from services.identity.store import (
    RULES,
    Account,
    Code,
    Outgoing,
    Quota,
    Session,
    account_with,
    add_account,
    agency_login,
    person,
    spent,
    user_login,
)
from shared.auth import ALGORITHM, Anyone, Clerk, Operator, Role
from shared.clock import new_id
from shared.http import InUnit, Routes, language_of, problem_response
from shared.problems import Conflict, Missing, Text
from shared.rulebook import add_routes
from shared.rules import COUNTRY
from shared.sealed import PersonalSealer, Sealer
from shared.signing import published
from shared.store import Store
from shared.unit import Unit

SESSION_LIFE: dict[Role, timedelta] = {
    "worker": timedelta(days=30),
    "employer": timedelta(days=30),
    "clerk": timedelta(hours=12),
    "operator": timedelta(hours=12),
}
"""A session ends when it was not refreshed for so long. An agency has none: it signs in again (RFC 6749, 4.4.3)."""

SLOW = Text("Too many requests. Try again in {retry_after} s.", "请求过于频繁，请在 {retry_after} 秒后再试。")
CODE_AGAIN = Text(
    "A code was sent to this number not long ago. Another can be had in {retry_after} s.",
    "已向此号码发送验证码，请在 {retry_after} 秒后再获取。",
)
WRONG_CODE = Text(
    "The code is not right, or is no longer valid. Ask for a new one.", "验证码有误或已失效，请重新获取。"
)
WRONG_PASSWORD = Text("The username or the password is not right.", "用户名或密码有误。")
LOCKED = Text(
    "There were too many tries. Sign-in with this username is locked for {retry_after} s.",
    "尝试次数过多，此用户名已锁定，请在 {retry_after} 秒后再试。",
)
WRONG_CLIENT = Text("The client's id or its secret is not right.", "客户端标识或密钥有误。")
WRONG_REFRESH = Text("The session is over. Sign in again.", "会话已结束，请重新登录。")
NAME_TAKEN = Text("This name is taken.", "此名称已被使用。")
ACCOUNT = Text("account", "账户")

BEARER: Literal["Bearer"] = "Bearer"
NO_STORE = {"cache-control": "no-store"}

routes = Routes("identity")

unkept = APIRouter(max_body_size=64 * 1024)
"""Routes whose answers hold secrets. They run their own units: those of `Routes` keep answers for repeated keys."""


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CodeRequest(_Asked):
    phone: Phone


class CodeSent(BaseModel):
    """Seconds for which the code is good, and after which another may be asked for."""

    expires_in: int
    resend_in: int


class Tokens(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = BEARER
    expires_in: int
    refresh_token: str | None = None
    account_id: str
    role: Role


class SignOut(_Asked):
    token: grants.Secret


class PersonDraft(_Asked):
    phone: Phone


class AccountId(BaseModel):
    account_id: str


class ClerkDraft(_Asked):
    username: Username
    password: Annotated[str, StringConstraints(max_length=512)]
    districts: Annotated[list[Area], Field(min_length=1, max_length=50)]

    @field_validator("password")
    @classmethod
    def _good(cls, password: str, others: ValidationInfo) -> str:
        return checked_password(others.data.get("username", ""), password)


class ClerkView(BaseModel):
    account_id: str
    username: str
    districts: list[str]


class AgencyDraft(_Asked):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=100)]
    districts: Annotated[list[Area], Field(min_length=1, max_length=50)]


class AgencyView(BaseModel):
    """An agency's credentials. The secret is shown this once."""

    client_id: str
    client_secret: str


class Me(BaseModel):
    account_id: str
    role: Role
    districts: list[str]
    name: str | None
    phone: str | None


class Parts:
    """What sign-in needs besides its unit."""

    def __init__(self, request: Request) -> None:
        state = request.app.state
        self.store: Store = state.store
        self.sealer: Sealer = state.sealer
        self.passwords: Passwords = state.passwords
        self.settings = state.runtime.settings

    def people(self, unit: Unit) -> PersonalSealer:
        return PersonalSealer(self.sealer, unit)


async def parts_of(request: Request) -> Parts:
    return Parts(request)


InParts = Annotated[Parts, Depends(parts_of)]


def shielded(costs: Costs) -> Any:
    async def check(request: Request) -> None:
        shield: Shield = request.app.state.shield
        wait = await shield.wait(costs, request.client.host if request.client else "")
        if wait:
            raise Refused(429, "temporarily_unavailable", "too-many-requests", SLOW, retry_after=wait)

    return Depends(check)


# --- codes -----------------------------------------------------------------------------------------------------------


@routes.post("/codes", status_code=202, dependencies=[shielded("code")])
async def send_code(asked: CodeRequest, request: Request, parts: InParts, unit: InUnit) -> CodeSent:
    """Have a six-digit code sent to a phone by SMS. The answer is the same whether or not an account has the phone."""
    phone_index = parts.sealer.blind(asked.phone, field="phone")
    wait = await spent(unit, f"codes:{phone_index}", CODES_PER_PHONE)
    if wait:
        raise Refused(429, "temporarily_unavailable", "code-sent-already", CODE_AGAIN, retry_after=_seconds(wait))
    salt = new_id()
    digits = f"{secrets.randbelow(1_000_000):06d}"
    code = await unit.get(Code, phone_index) or Code(id=phone_index, salt="", code_hash="", expires_at=unit.now)
    code.salt, code.code_hash, code.tries = salt, _code_hash(parts.sealer, salt, digits), 0
    code.expires_at = unit.now + CODE_LIFE
    code.outgoing = Outgoing(
        phone=parts.sealer.seal(asked.phone, subject=salt, field="phone"),
        code=parts.sealer.seal(digits, subject=salt, field="code"),
        language=language_of(request),
        due_at=unit.now,
    )
    unit.save(code)
    resend = min(limit.within for limit in CODES_PER_PHONE)
    return CodeSent(expires_in=_seconds(CODE_LIFE), resend_in=_seconds(resend))


def _code_hash(sealer: Sealer, salt: str, digits: str) -> str:
    """Salted and keyed: six digits under a plain hash are found in a second by whoever reads the database."""
    return sealer.blind(f"{salt}/{digits}", field="code")


def _seconds(span: timedelta) -> int:
    return -(-span // timedelta(seconds=1))


# --- tokens ----------------------------------------------------------------------------------------------------------


@unkept.post("/token", response_model=Tokens, openapi_extra=grants.OPENAPI, dependencies=[shielded("token")])
async def token(request: Request, parts: InParts) -> Response:
    """Sign in (OAuth 2, RFC 6749): by phone code, password, client credentials or a refresh token.

    Refusals are problem details with OAuth's `error`; a field that is missing or wrong is 422, as everywhere here.
    """
    try:
        grant = await grants.grant_in(request)
        match grant:
            case grants.PhoneCode():
                issued = await _issued(parts, partial(_by_code, grant), WRONG_CODE)
            case grants.Password():
                issued = await _by_password(grant, parts)
            case grants.ClientCredentials():
                issued = await _by_client(grant, parts)
            case grants.Refresh():
                issued = await _issued(parts, partial(_by_refresh, grant), WRONG_REFRESH)
    except Refused as refused:
        headers = dict(NO_STORE)
        if refused.status == 401:
            headers["www-authenticate"] = 'Basic realm="kuaizhao"'
        if "retry_after" in refused.facts:
            headers["retry-after"] = str(refused.facts["retry_after"])
        return problem_response(request, refused, headers)
    return JSONResponse(issued.model_dump(exclude_none=True), headers=NO_STORE)


async def _issued(parts: Parts, sign_in: Callable[[Parts, Unit], Awaitable[Tokens | None]], why: Text) -> Tokens:
    """Tokens from a sign-in, or the refusal after its unit: a try that failed is to be counted, not undone."""
    issued = await parts.store.transact(partial(sign_in, parts))
    if issued is None:
        raise Refused(400, "invalid_grant", "invalid-grant", why)
    return issued


async def _by_code(grant: grants.PhoneCode, parts: Parts, unit: Unit) -> Tokens | None:
    if not await code_is_right(unit, parts, grant.phone, grant.code):
        return None
    account, _ = await _person(grant.role, grant.phone, parts, unit)
    return await _tokens(account, parts, unit, await _begin_session(account, unit))


async def code_is_right(unit: Unit, parts: Parts, phone: str, digits: str) -> bool:
    """Use the code that a phone has now, which is good once; one that is wrong counts as a try."""
    code = await unit.get(Code, parts.sealer.blind(phone, field="phone"))
    if code is None or not code.may_be_tried(CODE_TRIES, unit.now):
        return False
    if not hmac.compare_digest(code.code_hash, _code_hash(parts.sealer, code.salt, digits)):
        code.tries += 1
        unit.save(code)
        return False
    unit.delete(code)
    return True


async def _by_password(grant: grants.Password, parts: Parts) -> Tokens:
    """Each try is counted before it is checked, so that many at once are counted too. Unknown names lock as well."""
    quota = f"password:{parts.sealer.blind(grant.username, field='username')}"

    async def begin(unit: Unit) -> tuple[timedelta, Account | None]:
        return await spent(unit, quota, PASSWORD_TRIES), await account_with(unit, user_login(grant.username))

    wait, account = await parts.store.transact(begin)
    if wait:
        raise Refused(429, "temporarily_unavailable", "locked", LOCKED, retry_after=_seconds(wait))
    kept = account.secret_hash if account else None
    if not await parts.passwords.right(kept, same_password(grant.password)) or account is None:
        raise Refused(400, "invalid_grant", "invalid-grant", WRONG_PASSWORD)

    async def finish(unit: Unit) -> Tokens:
        if tried := await unit.get(Quota, quota):
            unit.delete(tried)
        return await _tokens(account, parts, unit, await _begin_session(account, unit))

    return await parts.store.transact(finish)


async def _by_client(grant: grants.ClientCredentials, parts: Parts) -> Tokens:
    """No lockout here: nobody guesses 256 random bits, and whoever knows a client's id could lock it out."""
    unit = parts.store.reading()
    account = await unit.get(Account, grant.client_id)
    if account is not None and account.role != "agency":
        account = None
    kept = account.secret_hash if account else None
    if not await parts.passwords.right(kept, grant.client_secret) or account is None:
        raise Refused(401, "invalid_client", "invalid-client", WRONG_CLIENT)
    return await _tokens(account, parts, unit, None)


async def _by_refresh(grant: grants.Refresh, parts: Parts, unit: Unit) -> Tokens | None:
    """A token that was used before shows that two have it: the session ends for both (RFC 9700, 4.14.2)."""
    session_id, _, secret = grant.refresh_token.partition(".")
    session = await unit.get(Session, session_id)
    if session is None or unit.now >= session.expires_at:
        return None
    account = await unit.get(Account, session.account_id)
    if account is None or not hmac.compare_digest(session.token_hash, _token_hash(secret)):
        unit.delete(session)
        return None
    return await _tokens(account, parts, unit, await _renew(session, account, unit))


async def _begin_session(account: Account, unit: Unit) -> str:
    return await _renew(Session(id=new_id(), account_id=account.id, token_hash="", expires_at=unit.now), account, unit)


async def _renew(session: Session, account: Account, unit: Unit) -> str:
    """The session's next refresh token; only its hash is kept. A person's account is in use from now on."""
    secret = secrets.token_urlsafe(32)
    session.token_hash, session.expires_at = _token_hash(secret), unit.now + SESSION_LIFE[account.role]
    unit.save(session)
    if account.role in ("worker", "employer"):
        await _in_use(account, unit)
    return f"{session.id}.{secret}"


async def _in_use(account: Account, unit: Unit) -> None:
    """Keep a person's account for as long again as the rules keep one that nobody uses."""
    rules = await RULES.of(unit, COUNTRY)
    unit.set_timer(UNUSED, account.id, unit.now + rules.unused)


def _token_hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def _tokens(account: Account, parts: Parts, unit: Unit, refresh_token: str | None) -> Tokens:
    return Tokens(
        access_token=await keys.access_token(unit, account, parts.settings, parts.sealer),
        expires_in=_seconds(keys.TOKEN_LIFE),
        refresh_token=refresh_token,
        account_id=account.id,
        role=account.role,
    )


@routes.post("/revoke")
async def sign_out(asked: SignOut, unit: InUnit) -> dict[str, str]:
    """End the session of a refresh token, as at a shared kiosk. A token that is not known gets the same answer."""
    session_id, _, secret = asked.token.partition(".")
    session = await unit.get(Session, session_id)
    if session is not None and hmac.compare_digest(session.token_hash, _token_hash(secret)):
        unit.delete(session)
    return {}


# --- keys ------------------------------------------------------------------------------------------------------------


@routes.get("/.well-known/jwks.json")
async def jwks(unit: InUnit) -> JSONResponse:
    """The public keys that tokens are signed with (RFC 7517), the next one among them."""
    return JSONResponse(await published(unit), headers={"cache-control": "public, max-age=60"})


@routes.get("/.well-known/openid-configuration")
async def configuration(request: Request) -> dict[str, Any]:
    """Where things are, for clients that can discover it (RFC 8414). Addresses stand below the issuer's."""
    issuer = request.app.state.runtime.settings.issuer
    base = f"{issuer.rstrip('/')}{routes.prefix}"
    return {
        "issuer": issuer,
        "token_endpoint": f"{base}/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": ["phone_code", "password", "client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


# --- accounts --------------------------------------------------------------------------------------------------------


@routes.post("/accounts")
async def account_for(draft: PersonDraft, clerk: Clerk, parts: InParts, response: Response, unit: InUnit) -> AccountId:
    """A worker's account by phone, found (200) or made (201): for people whom a clerk registers."""
    account, new = await _person("worker", draft.phone, parts, unit)
    response.status_code = 201 if new else 200
    return AccountId(account_id=account.id)


async def _person(role: Role, phone: str, parts: Parts, unit: Unit) -> tuple[Account, bool]:
    account, new = await person(unit, role, parts.sealer.blind(phone, field="phone"))
    if new:
        account.phone = await parts.people(unit).seal(phone, of=account.id, field="phone")
        unit.save(account)
        await _in_use(account, unit)
    return account, new


@routes.post("/clerks", status_code=201)
async def add_clerk(draft: ClerkDraft, operator: Operator, parts: InParts, unit: InUnit) -> ClerkView:
    """A clerk who signs in by password and works for some districts."""
    login = user_login(draft.username)
    if await account_with(unit, login):
        raise Conflict("name-taken", NAME_TAKEN)
    secret_hash = await parts.passwords.hash(draft.password)
    account = add_account(unit, "clerk", login, name=draft.username, secret_hash=secret_hash, districts=draft.districts)
    return ClerkView(account_id=account.id, username=draft.username, districts=account.districts)


@unkept.post("/agencies", status_code=201)
async def add_agency(draft: AgencyDraft, operator: Operator, parts: InParts, response: Response) -> AgencyView:
    """An agency that signs in by client credentials. Its name is unique, so a repeated request makes no second one."""
    secret = secrets.token_urlsafe(32)
    secret_hash = await parts.passwords.hash(secret)

    async def add(unit: Unit) -> str:
        login = agency_login(draft.name)
        if await account_with(unit, login):
            raise Conflict("name-taken", NAME_TAKEN)
        account = add_account(
            unit, "agency", login, name=draft.name, secret_hash=secret_hash, districts=draft.districts
        )
        return account.id

    client_id = await parts.store.transact(add)
    response.headers.update(NO_STORE)
    return AgencyView(client_id=client_id, client_secret=secret)


@routes.get("/me")
async def me(caller: Anyone, parts: InParts, unit: InUnit) -> Me:
    """The caller's own account; the phone with its middle hidden."""
    account = await unit.get(Account, caller.id)
    if account is None:
        raise Missing(ACCOUNT)
    phone = await parts.people(unit).opened(account.phone, of=account.id, field="phone")
    return Me(
        account_id=account.id,
        role=account.role,
        districts=account.districts,
        name=account.name,
        phone=masked(phone) if phone else None,
    )


add_routes(routes, RULES)
routes.include_router(unkept)
