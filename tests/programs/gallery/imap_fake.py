"""imaplib, over TLS and with STARTTLS, against a small asyncio server: APPEND, FETCH, SEARCH, a bad login."""

import asyncio
import contextlib
import imaplib
import re
import ssl
from pathlib import Path

LIBRARIES = ()
DATA = b"Subject: data\r\n\r\n" + (b"0123456789" * 7 + b"\r\n") * 2_000
FILES = Path(__file__).parents[1]


def tls():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    return context


async def session(reader, writer):
    """RFC 3501, as far as the client asks for it."""
    messages = []
    writer.write(b"* OK here\r\n")
    while line := await reader.readline():
        tag, command, rest = (*line.strip().split(b" ", 2), b"")[:3]
        extra, status = b"", b"OK done"
        if command == b"CAPABILITY":
            extra = b"* CAPABILITY IMAP4rev1 STARTTLS\r\n"
        elif command == b"LOGIN" and b"secret" not in rest:
            status = b"NO wrong"
        elif command == b"APPEND":
            writer.write(b"+ go on\r\n")
            messages.append(await reader.readexactly(int(re.search(rb"\{(\d+)\}", rest)[1])))
            await reader.readline()
        elif command == b"SELECT":
            extra = b"* %d EXISTS\r\n" % len(messages)
        elif command == b"SEARCH":
            extra = b"* SEARCH " + b" ".join(b"%d" % (number + 1) for number in range(len(messages))) + b"\r\n"
        elif command == b"FETCH":
            number = int(rest.split()[0])
            body = messages[number - 1]
            extra = b"* %d FETCH (RFC822 {%d}\r\n%b)\r\n" % (number, len(body), body)
        writer.write(extra + tag + b" " + status + b"\r\n")
        await writer.drain()
        if command == b"STARTTLS":
            await writer.start_tls(tls())
        elif command == b"LOGOUT":
            break
    writer.close()
    with contextlib.suppress(ConnectionError):  # the client closes without reading our close_notify
        await writer.wait_closed()


async def serve(port, secure):
    async with await asyncio.start_server(session, None, port, ssl=tls() if secure else None) as server:
        await server.serve_forever()


def exchange(box):
    with box:
        try:
            box.login("user", "guess")
        except imaplib.IMAP4.error as error:
            wrong = str(error)
        box.login("user", "secret")
        assert box.append("INBOX", None, None, DATA)[0] == "OK"
        assert box.select("INBOX") == ("OK", [b"1"])
        assert box.search(None, "ALL") == ("OK", [b"1"])
        assert box.fetch("1", "(RFC822)")[1][0][1] == DATA
    return wrong


def connect(host):
    context = ssl.create_default_context(cafile=FILES / "authority.pem")
    box = imaplib.IMAP4(host, 143, timeout=20)
    box.starttls(context)
    return exchange(box), exchange(imaplib.IMAP4_SSL(host, 993, ssl_context=context, timeout=20))


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 143, False)
    server.run(serve, 993, True)
    world.sleep(0.1)
    wrong = "b'wrong'"
    assert client.run(connect, "server").result(timeout=60) == (wrong, wrong)
