"""Identity, wired: who people are to the market, and the tokens that say so."""

import structlog

from services.identity import api, contacts, erasure, handlers, keys, sms, store
from services.identity.domain import checked_password
from services.identity.passwords import Passwords
from services.identity.personal import PERSONAL
from services.identity.shield import Shield
from services.identity.store import account_with, add_account, user_login
from shared.service import Runtime, Service
from shared.unit import Unit
from shared.wording import Said

log = structlog.get_logger()

OPERATOR = "operator"


async def first_operator(runtime: Runtime) -> None:
    """Make the account `operator` with the password of the settings, where there is none yet."""
    password = runtime.settings.operator_password.get_secret_value()
    login = user_login(OPERATOR)
    if not password or await account_with(runtime.store.reading(), login):
        return
    try:
        password = checked_password(OPERATOR, password)
    except Said as fault:
        log.warning(f"no operator account was made: KUAIZHAO_OPERATOR_PASSWORD {fault}")
        return
    secret_hash = await Passwords().hash(password)

    async def add(unit: Unit) -> None:
        if not await account_with(unit, login):
            add_account(unit, "operator", login, name=OPERATOR, secret_hash=secret_hash)

    await runtime.store.transact(add)


api.routes.include_router(contacts.routes)
api.routes.include_router(erasure.routes)

service = Service(
    name="identity",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    loops=[sms.send_forever, keys.SIGNING.keep_turning],
    at_start=[keys.SIGNING.prepare, first_operator],
    state={
        "passwords": lambda runtime: Passwords(),
        "shield": lambda runtime: Shield(runtime.settings, runtime.sealer),
    },
    about="Sign-in by phone code, password or client credentials; tokens (ES256) and the keys to check them; who may "
    "read whose phone, and who did.",
)
