"""What a validation error means to the person who sent the field, in English and Chinese."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from shared.problems import Fault, Text

_TIME = Text("must be a time such as 2026-11-23T05:30:00+08:00", "应为时间，例如 2026-11-23T05:30:00+08:00")

_WORDING: dict[str, Text] = {
    "missing": Text("is required", "为必填项"),
    "extra_forbidden": Text("is not a known field", "不是已知字段"),
    "json_invalid": Text("the body is not valid JSON", "正文不是有效的 JSON"),
    "string_type": Text("must be text", "应为文本"),
    "string_too_short": Text("must have at least {min_length} characters", "至少 {min_length} 个字符"),
    "string_too_long": Text("must have at most {max_length} characters", "最多 {max_length} 个字符"),
    "string_pattern_mismatch": Text("must match {pattern}", "格式应符合 {pattern}"),
    "int_type": Text("must be a whole number", "应为整数"),
    "int_parsing": Text("must be a whole number", "应为整数"),
    "int_from_float": Text("must be a whole number", "应为整数"),
    "float_type": Text("must be a number", "应为数字"),
    "float_parsing": Text("must be a number", "应为数字"),
    "finite_number": Text("must be a finite number", "应为有限数字"),
    "bool_type": Text("must be true or false", "应为 true 或 false"),
    "bool_parsing": Text("must be true or false", "应为 true 或 false"),
    "greater_than": Text("must be greater than {gt}", "应大于 {gt}"),
    "greater_than_equal": Text("must be at least {ge}", "应不小于 {ge}"),
    "less_than": Text("must be less than {lt}", "应小于 {lt}"),
    "less_than_equal": Text("must be at most {le}", "应不大于 {le}"),
    "enum": Text("must be one of {expected}", "应为以下之一：{expected}"),
    "literal_error": Text("must be one of {expected}", "应为以下之一：{expected}"),
    "too_short": Text("must have at least {min_length} items", "至少 {min_length} 项"),
    "too_long": Text("must have at most {max_length} items", "最多 {max_length} 项"),
    "list_type": Text("must be a list", "应为列表"),
    "tuple_type": Text("must be a list", "应为列表"),
    "dict_type": Text("must be an object", "应为对象"),
    "model_type": Text("must be an object", "应为对象"),
    "model_attributes_type": Text("must be an object", "应为对象"),
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": Text("must name its offset, such as +08:00", "应注明时区，例如 +08:00"),
    "time_out_of_range": Text("must be a time between the years 1 and 9999", "应为公元 1 年至 9999 年之间的时间"),
    "period_backward": Text("end must be after start", "结束时间应晚于开始时间"),
    "date_from_datetime_parsing": Text("must be a date such as 2026-11-23", "应为日期，例如 2026-11-23"),
    "date_parsing": Text("must be a date such as 2026-11-23", "应为日期，例如 2026-11-23"),
}


def faults_of(errors: Iterable[Mapping[str, Any]]) -> tuple[Fault, ...]:
    """pydantic's errors as faults: the field's path without `body`, and what would be right. Never the value sent."""
    return tuple(_fault(error) for error in errors)


def _fault(error: Mapping[str, Any]) -> Fault:
    path = [str(part) for part in error["loc"]]
    field = ".".join(path[1:] if path[:1] in (["body"], ["query"], ["path"]) and len(path) > 1 else path)
    context = {name: str(value) for name, value in error.get("ctx", {}).items()}
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Said):
        return Fault(field, cause.text)
    text = _WORDING.get(error["type"])
    if text is None:
        message = _literally(str(error["msg"]).removeprefix("Value error, "))
        text = Text(message, message)
    # The problem fills in its facts later: braces that stand here now, as in a pattern, are meant as they are.
    en, zh = text.en.format(**context), text.zh.format(**context).replace(" or ", " 或 ")
    return Fault(field, Text(_literally(en), _literally(zh)))


def _literally(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


class Said(ValueError):
    """Raised in a pydantic validator to say what would be right, in both languages."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.text = Text(en, zh)


_STATUS: dict[int, Text] = {
    404: Text("There is nothing at this address.", "此地址没有内容。"),
    405: Text("This address does not take that method.", "此地址不支持该方法。"),
}


def status_text(status: int) -> Text:
    phrase = HTTPStatus(status).phrase
    return _STATUS.get(status, Text(phrase, phrase))
