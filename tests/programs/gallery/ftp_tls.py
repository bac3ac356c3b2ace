"""ftplib over TLS, control and data, against a small blocking server: upload, download, a missing file."""

import ftplib
import io
import socket
import ssl
from pathlib import Path

LIBRARIES = ()
DATA = bytes(range(256)) * 600
FILES = Path(__file__).parents[1]


def serve(port):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")
    with socket.create_server(("server", port)) as listener:
        connection, _ = listener.accept()
    session(connection, context)


def session(control, context):
    """RFC 959 and RFC 4217, as far as the client asks for it."""
    files = {}
    control.sendall(b"220 here\r\n")
    lines = control.makefile("r", newline="\r\n")
    while line := lines.readline():
        command, _, argument = line.strip().partition(" ")
        answer = {"USER": "331 password?", "PASS": "230 fine", "QUIT": "221 bye"}.get(command, "200 done")
        if command == "PASV":
            passive = socket.create_server(("server", 0))
            host, port = passive.getsockname()
            answer = "227 here ({},{},{})".format(host.replace(".", ","), port >> 8, port & 255)
        elif command == "RETR" and argument not in files:
            answer = "550 no such file"
            passive.close()
        elif command in ("STOR", "RETR"):
            control.sendall(b"150 now\r\n")
            data = context.wrap_socket(passive.accept()[0], server_side=True)
            passive.close()
            if command == "STOR":
                files[argument] = data.makefile("rb").read()
            else:
                data.sendall(files[argument])
            data.unwrap().close()
            answer = "226 complete"
        control.sendall(answer.encode() + b"\r\n")
        if command == "AUTH":
            lines.close()
            control = context.wrap_socket(control, server_side=True)
            lines = control.makefile("r", newline="\r\n")
    control.close()


def connect(host, port):
    with ftplib.FTP_TLS(timeout=20, context=ssl.create_default_context(cafile=FILES / "authority.pem")) as ftp:
        ftp.connect(host, port)
        ftp.login("user", "secret")
        ftp.prot_p()
        ftp.storbinary("STOR data", io.BytesIO(DATA))
        got = io.BytesIO()
        ftp.retrbinary("RETR data", got.write)
        assert got.getvalue() == DATA
        try:
            ftp.retrbinary("RETR missing", got.write)
        except ftplib.error_perm as error:
            return str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve, 21)
    world.sleep(0.1)
    assert client.run(connect, "server", 21).result(timeout=60) == "550 no such file"
    served.result(timeout=60)
