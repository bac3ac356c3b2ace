"""AsyncSSH server and client: a shell on a terminal, commands, SFTP, forwarded ports both ways; a wrong password."""

import asyncio
import tempfile
from pathlib import Path

import asyncssh

LIBRARIES = ("asyncssh",)
OPAQUE = "keys and padding come from the OpenSSL inside the `cryptography` package"
DATA = bytes(range(256)) * 600
KEY = asyncssh.generate_private_key("ssh-ed25519")


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return password == "secret"

    def connection_requested(self, host, port, orig_host, orig_port):
        return True

    def server_requested(self, host, port):
        return True


async def shell(process):
    width = process.term_size[0]
    process.stdout.write(b"$ ")
    async for line in process.stdin:
        if line.strip() == b"exit":
            break
        process.stdout.write(line.strip()[::-1].center(width) + b"\r\n$ ")
    process.exit(0)


async def command(process):
    if process.command is None:
        await shell(process)
    elif process.command == "fail":
        process.stderr.write(b"no such thing\n")
        process.exit(3)
    else:
        process.stdout.write((await process.stdin.read())[::-1])
        process.exit(0)


async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()
    await writer.drain()
    writer.close()


async def serve(port):
    options = {"server_factory": Server, "process_factory": command, "sftp_factory": True, "encoding": None}
    near = await asyncio.start_server(echo, "127.0.0.1", 7)
    async with near, asyncssh.listen("", port, server_host_keys=[KEY], **options):
        await asyncio.sleep(100)


async def through(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(DATA)
    writer.write_eof()
    assert await reader.read() == DATA
    writer.close()
    await writer.wait_closed()


async def connect(host, port):
    options = {"known_hosts": ([KEY.convert_to_public()], [], []), "username": "me", "config": None}
    async with asyncssh.connect(host, port, password="secret", **options) as connection:
        assert (await connection.run("reverse", input=DATA, encoding=None)).stdout == DATA[::-1]
        async with connection.create_process(term_type="vt100", term_size=(40, 10)) as terminal:
            terminal.stdin.write("stressed\n")
            assert "desserts".center(40) in await terminal.stdout.readuntil("\n$ ")
            terminal.stdin.write("exit\n")
            assert (await terminal.wait()).exit_status == 0
        failed = await connection.run("fail")
        assert (failed.exit_status, failed.stderr) == (3, "no such thing\n")
        with tempfile.TemporaryDirectory() as folder:
            async with connection.start_sftp_client() as sftp:
                async with sftp.open(f"{folder}/there", "wb") as file:
                    await file.write(DATA)
                await sftp.get(f"{folder}/there", f"{folder}/here")
                assert Path(folder, "here").read_bytes() == DATA
        async with connection.forward_local_port("", 0, "127.0.0.1", 7) as listener:
            await through("localhost", listener.get_port())
        near = await asyncio.start_server(echo, "127.0.0.1", 8)
        async with near, connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 8) as listener:
            reader, writer = await connection.open_connection("127.0.0.1", listener.get_port())
            writer.write(DATA)
            writer.write_eof()
            assert await reader.read() == DATA
    try:
        await asyncssh.connect(host, port, password="guess", **options)
    except asyncssh.PermissionDenied as error:
        return error.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 22)
    world.sleep(0.1)
    assert client.run(connect, "server", 22).result(timeout=90) == asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE
