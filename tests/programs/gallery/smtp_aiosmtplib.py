"""aiosmtplib against aiosmtpd: a large message with STARTTLS and a login, one over TLS, a wrong password."""

import asyncio
import ssl
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
from aiosmtpd.smtp import SMTP, AuthResult

LIBRARIES = ("aiosmtplib", "aiosmtpd")
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]
received = []


class Handler:
    async def handle_DATA(self, server, session, envelope):
        received.append((envelope.rcpt_tos, len(envelope.content)))
        return "250 kept"


def allow(server, session, envelope, mechanism, data):
    return AuthResult(success=data.password == b"secret", handled=False)


async def serve(starttls_port, secure_port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    options = {"hostname": "server", "authenticator": allow}
    loop = asyncio.get_running_loop()
    upgrading = await loop.create_server(
        lambda: SMTP(Handler(), tls_context=context, require_starttls=True, **options), None, starttls_port
    )
    secure = await loop.create_server(
        lambda: SMTP(Handler(), auth_require_tls=False, **options), None, secure_port, ssl=context
    )
    async with upgrading, secure:
        await asyncio.sleep(3600)


def message(recipient):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "me@client", recipient, "data"
    made.add_attachment(DATA, "application", "octet-stream")
    return made


async def connect(host, starttls_port, secure_port):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    options = {"hostname": host, "tls_context": context, "timeout": 20}
    async with aiosmtplib.SMTP(port=starttls_port, start_tls=True, **options) as server:
        await server.login("me", "secret")
        await server.send_message(message("starttls@server"))
    await aiosmtplib.send(message("tls@server"), port=secure_port, use_tls=True, **options)
    try:
        await aiosmtplib.send(message("x@server"), port=starttls_port, username="me", password="guess", **options)
    except aiosmtplib.SMTPAuthenticationError as error:
        return error.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 587, 465)
    world.sleep(0.1)
    assert client.run(connect, "server", 587, 465).result(timeout=60) == 535
    assert [(to, size > 200_000) for to, size in received] == [(["starttls@server"], True), (["tls@server"], True)]
