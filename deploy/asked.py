"""Which broker a command speaks to: `--kafka HOST:PORT`, with the certificates that the settings name, if any."""

from argparse import ArgumentParser, Namespace

from pydantic import ValidationError

from shared.broker import Broker
from shared.settings import Settings, wrong


def asked_of(parser: ArgumentParser) -> tuple[Namespace, Broker]:
    """The command's options, with one for the broker, and that broker. Ends with a clear line for a wrong setting."""
    try:
        settings = Settings()
        parser.add_argument("--kafka", default=settings.kafka, metavar="HOST:PORT", help="the broker (%(default)s)")
        options = parser.parse_args()
        return options, Broker.of(Settings(kafka=options.kafka), parser.prog)
    except ValidationError as error:
        parser.error("; ".join(wrong(error)))
    except ValueError as error:
        parser.error(str(error))
