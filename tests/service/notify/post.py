"""A small SMTP server on a real port, which keeps what it takes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


class PostOffice:
    """`asked` is every message taken, in order; `arrived` those that differ: by Message-ID, as a mailbox shows them.

    `turns` are codes that recipients are answered with, and 0 for a connection closed after the message was taken.
    """

    def __init__(self) -> None:
        self.asked: list[EmailMessage] = []
        self.turns: deque[int] = deque()
        self.url = ""

    @property
    def arrived(self) -> dict[str, EmailMessage]:
        return {message["Message-ID"]: message for message in self.asked}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 post\r\n")
        turn = 250
        while line := await reader.readline():
            match line[:4].upper().strip():
                case b"RCPT":
                    turn = self.turns.popleft() if self.turns else 250
                    writer.write(f"{turn or 250} recipient\r\n".encode())
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    text = await reader.readuntil(b"\r\n.\r\n")
                    message = message_from_bytes(text[:-3], policy=default)
                    assert isinstance(message, EmailMessage)
                    self.asked.append(message)
                    if not turn:
                        break
                    writer.write(b"250 taken\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 yes\r\n")
        writer.close()


@asynccontextmanager
async def post_office() -> AsyncIterator[PostOffice]:
    office = PostOffice()
    server = await asyncio.start_server(office.serve, "127.0.0.1", 0)
    office.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield office
