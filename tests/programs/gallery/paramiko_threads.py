"""Paramiko server and client, in threads: a command, SFTP, a forwarded port; a wrong password."""

import io
import os
import shutil
import socket
import tempfile
import threading

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

LIBRARIES = ("paramiko",)
OPAQUE = "keys and padding come from the OpenSSL inside the `cryptography` package"
DATA = bytes(range(256)) * 600
# Signatures by an Ed25519 key are all of one size, those of other curves are not: so the sizes of packets repeat.
_FORMAT = (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
KEY = paramiko.Ed25519Key(file_obj=io.StringIO(Ed25519PrivateKey.generate().private_bytes(*_FORMAT).decode()))
SHARED = tempfile.mkdtemp(prefix="wavetank-gallery-")


class Server(paramiko.ServerInterface):
    def __init__(self):
        self.destinations = {}

    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL if password == "secret" else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, number, origin, destination):
        self.destinations[number] = destination
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=run, args=(channel, command)).start()
        return True


def run(channel, command):
    with channel, channel.makefile("rb") as received:
        channel.sendall(received.read()[::-1])
        channel.send_exit_status(len(command))
        channel.shutdown_write()


class Folder(paramiko.SFTPServerInterface):
    def open(self, path, flags, attributes):
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = os.fdopen(os.open(SHARED + path, flags, 0o600), "r+b")
        return handle

    def stat(self, path):
        return paramiko.SFTPAttributes.from_stat(os.stat(SHARED + path))


def pump(source, sink):
    while data := source.recv(10_000):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


def session(transport):
    server = Server()
    transport.start_server(server=server)
    while transport.is_active():
        channel = transport.accept(1)
        if channel and channel.get_id() in server.destinations:
            with socket.create_connection(server.destinations[channel.get_id()]) as far, channel:
                back = threading.Thread(target=pump, args=(far, channel))
                back.start()
                pump(channel, far)
                back.join()


def serve(port):
    with socket.create_server(("", port)) as listener:
        for _ in range(2):
            with paramiko.Transport(listener.accept()[0]) as transport:
                transport.add_server_key(KEY)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
                session(transport)
    shutil.rmtree(SHARED)


def echo(port):
    with socket.create_server(("", port)) as listener:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(10_000):
                connection.sendall(data)


def connect(host, port):
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(host, KEY.get_name(), KEY)
        options = {"username": "me", "look_for_keys": False, "allow_agent": False}
        client.connect(host, password="secret", **options)
        stdin, stdout, _ = client.exec_command("reverse")
        stdin.write(DATA)
        stdin.channel.shutdown_write()
        assert stdout.read() == DATA[::-1]
        assert stdout.channel.recv_exit_status() == len("reverse")
        with client.open_sftp() as sftp:
            with sftp.open("/file", "wb") as file:
                file.write(DATA)
            with sftp.open("/file", "rb") as file:
                assert file.read() == DATA
        with client.get_transport().open_channel("direct-tcpip", ("echo", 7), ("client", 0)) as channel:
            threading.Thread(target=channel.sendall, args=(DATA,)).start()
            with channel.makefile("rb") as received:
                assert received.read(len(DATA)) == DATA
                channel.shutdown_write()
                assert received.read() == b""
    try:
        with paramiko.SSHClient() as client:
            client.get_host_keys().add(host, KEY.get_name(), KEY)
            client.connect(host, password="guess", **options)
    except paramiko.AuthenticationException as error:
        return str(error)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    world.host("echo").run(echo, 7)
    served = server.run(serve, 22)
    world.sleep(0.1)
    assert client.run(connect, "server", 22).result(timeout=60) == "Authentication failed."
    served.result(timeout=60)
