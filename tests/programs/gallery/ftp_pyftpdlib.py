"""ftplib against pyftpdlib (its own select loop): upload and download, active and passive, a missing file."""

import ftplib
import io
import tempfile

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

LIBRARIES = ("pyftpdlib",)
DATA = bytes(range(256)) * 600


def serve(port, folder):
    class Handler(FTPHandler):
        authorizer = DummyAuthorizer()
        use_sendfile = True

    Handler.authorizer.add_user("user", "secret", folder, perm="elradfmw")
    with FTPServer(("0.0.0.0", port), Handler) as server:
        server.serve_forever(timeout=1)


def connect(host, port):
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect(host, port)
        try:
            ftp.login("user", "wrong")
        except ftplib.error_perm as error:
            wrong = str(error)[:3]
        ftp.login("user", "secret")
        for passive in (True, False):
            ftp.set_pasv(passive)
            ftp.storbinary("STOR data", io.BytesIO(DATA))
            assert ftp.size("data") == len(DATA)
            got = io.BytesIO()
            ftp.retrbinary("RETR data", got.write)
            assert got.getvalue() == DATA
            assert ftp.nlst() == ["data"]
        try:
            ftp.retrbinary("RETR missing", got.write)
        except ftplib.error_perm as error:
            return wrong, str(error)[:3]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    with tempfile.TemporaryDirectory() as folder:
        server.run(serve, 21, folder)
        world.sleep(1)
        assert client.run(connect, "server", 21).result(timeout=60) == ("530", "550")
