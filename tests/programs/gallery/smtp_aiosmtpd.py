"""smtplib against aiosmtpd: a large message plain, with STARTTLS and over TLS from the start; a refused recipient."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP

LIBRARIES = ("aiosmtpd",)
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]
received = []


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if not address.endswith("@server"):
            return "550 no relaying"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        secure = server.transport.get_extra_info("sslcontext") is not None
        received.append((envelope.rcpt_tos, len(envelope.content), secure))
        return "250 kept"


async def serve(plain_port, secure_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(lambda: SMTP(Handler(), hostname="server", tls_context=context), None, plain_port)
    secure = await loop.create_server(lambda: SMTP(Handler(), hostname="server"), None, secure_port, ssl=context)
    async with plain, secure:
        await asyncio.sleep(3600)


def send(server, recipient):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@client", recipient, "data"
    message.add_attachment(DATA, "application", "octet-stream")
    server.send_message(message)


def connect(host, plain_port, secure_port):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    with smtplib.SMTP(host, plain_port, timeout=10) as server:
        send(server, "plain@server")
        server.starttls(context=context)
        send(server, "starttls@server")
    with smtplib.SMTP_SSL(host, secure_port, timeout=10, context=context) as server:
        send(server, "tls@server")
        try:
            send(server, "someone@elsewhere")
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients["someone@elsewhere"]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 25, 465)
    world.sleep(0.1)
    assert client.run(connect, "server", 25, 465).result(timeout=60) == (550, b"no relaying")
    assert [(to, size > 200_000, tls) for to, size, tls in received] == [
        (["plain@server"], True, False),
        (["starttls@server"], True, True),
        (["tls@server"], True, True),
    ]
