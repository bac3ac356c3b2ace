"""ssl in threads: certificates of clients, names asked for (SNI), protocols agreed on (ALPN); a client without one."""

import socket
import ssl
import threading
from pathlib import Path

LIBRARIES = ()
DATA = bytes(range(256)) * 450
FILES = Path(__file__).parents[1]


def context(purpose, *, certificate):
    made = ssl.create_default_context(purpose, cafile=str(FILES / "authority.pem"))
    if certificate:
        made.load_cert_chain(FILES / "server.pem")
    return made


def serve(port):
    server = context(ssl.Purpose.CLIENT_AUTH, certificate=True)
    server.verify_mode = ssl.CERT_REQUIRED
    server.set_alpn_protocols(["tank/2", "tank/1"])
    asked = {}
    server.sni_callback = lambda sock, name, _: asked.update({sock: name})

    def answer(plain):
        try:
            with server.wrap_socket(plain, server_side=True) as sock:
                body = b""
                while len(body) < len(DATA):
                    body += sock.recv(65536)
                agreed = sock.selected_alpn_protocol(), bool(sock.getpeercert()), asked[sock]
                sock.sendall(repr(agreed).encode().ljust(100) + body[::-1])
                sock.unwrap()
        except ssl.SSLError:
            plain.close()

    with socket.create_server(("", port)) as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def talk(host, port):
    client = context(ssl.Purpose.SERVER_AUTH, certificate=True)
    client.set_alpn_protocols(["tank/1"])
    with client.wrap_socket(socket.create_connection((host, port), 60), server_hostname=host) as sock:
        sock.sendall(DATA)
        body = b""
        while len(body) < 100 + len(DATA):
            body += sock.recv(65536)
        sock.unwrap()
    assert body[:100].strip() == repr(("tank/1", True, host)).encode()
    assert body[100:] == DATA[::-1]
    unknown = context(ssl.Purpose.SERVER_AUTH, certificate=False)
    try:
        with unknown.wrap_socket(socket.create_connection((host, port), 60), server_hostname=host) as sock:
            sock.recv(1)
    except ssl.SSLError as error:
        return error.reason


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8443)
    world.sleep(0.1)
    reason = client.run(talk, "server", 8443).result(timeout=120)
    assert reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
