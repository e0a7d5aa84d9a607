"""Made-up people and employers for the simulated city: well-formed, always the same, and nobody's.

- Names are a heavenly stem and a number: 甲一, 乙二十三.
- Resident identity numbers follow GB 11643-1999 with a right check digit (ISO 7064 MOD 11-2), in the area 439999. Hunan
  (43) has never had a prefecture 99 in any edition of GB/T 2260, so no such number has ever been issued; it still
  passes every check of form, that of the province included.
- Unified social credit codes follow GB 32100-2015, their nine-digit organisation part GB 11714-1997, both with right
  check digits, in the same area.
- Phones are +86 199 0000 xxxx (E.164): workers below 9000, employers above.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from math import gcd
from random import Random

AREA = "439999"
STEMS = "甲乙丙丁戊己庚辛壬癸"
NUMERALS = "零一二三四五六七八九"
WORKERS = 9_000
EMPLOYERS = 1_000
BORN_FROM, BORN_BEFORE = date(1962, 1, 1), date(2006, 1, 1)
"""Of working age: the youngest turned 18 in 2023."""

USCC_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
KINDS = (
    ("分拨中心", "Parcel Hub"), ("餐饮", "Catering"), ("物业服务", "Property Services"), ("装饰工程", "Decoration"),
    ("家政服务", "Home Services"), ("会展服务", "Events"), ("商贸", "Trading"), ("电子科技", "Electronics"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    id_number: str
    born: date
    phone: str


@dataclass(frozen=True, slots=True)
class Firm:
    name: str
    name_en: str
    credit_code: str
    phone: str


class People:
    """The people of one seed: `worker(n)` and `employer(n)` are the same whenever they are asked for."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self._days = (BORN_BEFORE - BORN_FROM).days
        self._first = random.randrange(self._days)
        # A stride without a common divisor visits every birthday before it repeats one, so no two numbers are alike.
        self._stride = next(s for s in iter(lambda: random.randrange(1, self._days), 0) if gcd(s, self._days) == 1)
        self._kind = random.randrange(len(KINDS))

    def worker(self, n: int) -> Person:
        """Worker number n, from 0; there are as many as phones (9,000)."""
        if not 0 <= n < WORKERS:
            raise ValueError(f"worker {n}: there are {WORKERS} phones for workers")
        born = BORN_FROM + timedelta(days=(self._first + n * self._stride) % self._days)
        return Person(f"{STEMS[n % 10]}{numeral(n // 10 + 1)}", id_number(born, 1 + n // self._days), born, _phone(n))

    def employer(self, n: int) -> Firm:
        """Employer number n, from 0 to 999; its name says that it is made up."""
        if not 0 <= n < EMPLOYERS:
            raise ValueError(f"employer {n}: there are {EMPLOYERS} phones for employers")
        kind, kind_en = KINDS[(self._kind + n) % len(KINDS)]
        return Firm(
            f"{STEMS[n % 10]}{numeral(n // 10 + 1)}{kind}（虚构）",
            f"Fictitious {kind_en} {n + 1}",
            credit_code(f"{n:08d}"),
            _phone(WORKERS + n),
        )


def numeral(n: int) -> str:
    """1 to 999 in Chinese: 一, 十二, 二十, 一百零五."""
    if not 0 < n < 1_000:
        raise ValueError(f"{n} is not from 1 to 999")
    hundreds, tens, ones = n // 100, n // 10 % 10, n % 10
    text = f"{NUMERALS[hundreds]}百" if hundreds else ""
    if tens:
        text += "十" if tens == 1 and not hundreds else f"{NUMERALS[tens]}十"
    elif hundreds and ones:
        text += "零"
    return text + (NUMERALS[ones] if ones else "")


def id_number(born: date, order: int) -> str:
    """An 18-digit resident identity number (GB 11643-1999) in the area nobody is registered in; `order` is 1 to 999."""
    body = f"{AREA}{born:%Y%m%d}{order:03d}"
    return body + id_check(body)


def id_check(body: str) -> str:
    """The check character of 17 digits, by ISO 7064 MOD 11-2."""
    return "10X98765432"[sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(body)) % 11]


def credit_code(organisation: str) -> str:
    """A unified social credit code (GB 32100-2015) of an enterprise (91); `organisation` is eight digits or letters."""
    body = f"91{AREA}{organisation}{organisation_check(organisation)}"
    return body + credit_check(body)


def organisation_check(body: str) -> str:
    """The check character of the first 8 of an organisation code (GB 11714-1997, MOD 11)."""
    total = sum(int(c, 36) * w for c, w in zip(body, ORGANISATION_WEIGHTS, strict=True))
    return "0X987654321"[total % 11]


def credit_check(body: str) -> str:
    """The check character of the first 17 of a unified social credit code (GB 32100-2015, MOD 31)."""
    total = sum(USCC_LETTERS.index(c) * w for c, w in zip(body, USCC_WEIGHTS, strict=True))
    return USCC_LETTERS[(31 - total % 31) % 31]


def _phone(n: int) -> str:
    return f"+861990000{n:04d}"
