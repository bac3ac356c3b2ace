"""ftplib over TLS against pyftpdlib, which uses pyOpenSSL on its sockets: upload, download, listing, a missing file."""

import ftplib
import io
import ssl
import tempfile
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

LIBRARIES = ("pyftpdlib", "pyopenssl")
OPAQUE = "pyOpenSSL uses the OpenSSL inside cryptography"
DATA = bytes(range(256)) * 450
FILES = Path(__file__).parents[1]


class Handler(TLS_FTPHandler):
    certfile = str(FILES / "server.pem")
    tls_control_required = True
    tls_data_required = True


def serve(port):
    Handler.authorizer = DummyAuthorizer()
    Handler.authorizer.add_user("user", "secret", tempfile.mkdtemp(), perm="elradfmw")
    FTPServer(("", port), Handler).serve_forever()


def transfer(host, port):
    context = ssl.create_default_context(cafile=str(FILES / "authority.pem"))
    with ftplib.FTP_TLS(context=context, timeout=60) as ftp:
        ftp.connect(host, port)
        ftp.login("user", "secret")
        ftp.prot_p()
        ftp.storbinary("STOR data", io.BytesIO(DATA))
        received = io.BytesIO()
        ftp.retrbinary("RETR data", received.write)
        assert received.getvalue() == DATA
        ((name, facts),) = ftp.mlsd(facts=["size", "modify"])
        assert (name, int(facts["size"])) == ("data", len(DATA))
        try:
            ftp.retrbinary("RETR missing", received.write)
        except ftplib.error_perm as error:
            ftp.quit()
            return str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 2121)
    world.sleep(0.1)
    assert client.run(transfer, "server", 2121).result(timeout=120) == "550 No such file or directory."
