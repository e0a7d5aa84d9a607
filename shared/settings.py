"""Everything that differs between one running process and another; read from KUAIZHAO_* variables."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri


def _brokers(value: str) -> str:
    for address in value.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise PydanticCustomError("brokers", "must be host:port, or several of them with commas between")
    return value


def _mongo(value: str) -> str:
    try:
        if not value.startswith("mongodb+srv://"):  # whose servers are asked of the DNS
            parse_uri(value)
    except (PyMongoError, ValueError):
        raise PydanticCustomError(
            "mongo_url", "must be an address such as mongodb://name:password@host:27017/?replicaSet=rs0"
        ) from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise PydanticCustomError("zone", "must be a time zone such as Asia/Shanghai") from None
    return value


def wrong(error: ValidationError) -> list[str]:
    """What is said of settings that are none: a line for each variable."""
    return [f"KUAIZHAO_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]


class Settings(BaseSettings):
    """Settings of a service process.

    `secret` is a base64 text of 32 bytes from which the keys for stored personal data are derived.
    `reads_at_once` and `commands_at_once` are how many requests may be under way before another read, or another
    command, is answered 429.
    `insurer_url` is the address of the insurer's interface; without one the market's own register of covers is what
    its group policy goes by.
    `kafka_ca`, `kafka_certificate` and `kafka_key` are files in PEM, for a broker that knows its users by certificates:
    all three, or none for one that is spoken to in the open.
    `mongo_url` needs a replica set: units are transactions.
    `sms_url`, `voice_url` and `smtp_url` (smtp:// or smtps://, with a user's name and password or without) are the
    region's providers of messages; a channel whose address is empty is not there. With `receipts_token` providers say
    that a message arrived. With `wechat_app_id` there is the region's service account of WeChat: its `wechat_secret`,
    the `wechat_template` of its messages, whose `wechat_field` takes the text, and `wechat_link`, the page that a
    message leads to. `webhooks_may_be_local`, for tests and local stacks: a webhook or a push service may be on this
    machine.
    """

    model_config = SettingsConfigDict(env_prefix="KUAIZHAO_", extra="ignore")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    mongo_url: Annotated[str, AfterValidator(_mongo)] = "mongodb://127.0.0.1:27117/?replicaSet=rs0"
    database: str = ""
    kafka: Annotated[str, AfterValidator(_brokers)] = "127.0.0.1:19092"
    kafka_ca: str = ""
    kafka_certificate: str = ""
    kafka_key: str = ""
    valkey_url: str = "redis://127.0.0.1:16379/0"
    otlp_url: str = ""
    jwks_url: str = "http://127.0.0.1:8101/api/identity/.well-known/jwks.json"
    issuer: str = "https://kuaizhao.local"
    audience: str = "kuaizhao"
    sms_url: str = "http://127.0.0.1:8100/sms"
    voice_url: str = ""
    smtp_url: SecretStr = SecretStr("")
    email_from: str = "kuaizhao@localhost"
    wecom_url: str = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
    wechat_url: str = "https://api.weixin.qq.com"
    wechat_app_id: str = ""
    wechat_secret: SecretStr = SecretStr("")
    wechat_template: str = ""
    wechat_field: str = "thing1"
    wechat_link: str = ""
    webhooks_may_be_local: bool = False
    receipts_token: SecretStr = SecretStr("")
    insurer_url: str = ""
    secret: SecretStr = SecretStr("")
    operator_password: SecretStr = SecretStr("")
    zone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    drain_seconds: Annotated[float, Field(ge=0)] = 20.0
    reads_at_once: Annotated[int, Field(ge=1)] = 100
    commands_at_once: Annotated[int, Field(ge=1)] = 1_000
