"""Everything that differs between one running process and another; read from KUAIZHAO_* variables."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    port: int = 0
    mongo_url: str = "mongodb://127.0.0.1:27117/?replicaSet=rs0"
    database: str = ""
    kafka: str = "127.0.0.1:19092"
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
    zone: str = "Asia/Shanghai"
    log_level: str = "info"
    trace_ratio: float = 1.0
    drain_seconds: float = 20.0
    reads_at_once: int = 100
    commands_at_once: int = 1_000
