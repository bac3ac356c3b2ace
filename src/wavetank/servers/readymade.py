"""Ready-made servers: redis, PostgreSQL and nginx with the settings that tests want. sshd is in `ssh.server`.

Owns their command lines and configurations. Each function gives an unstarted `ServerProcess`; further options go to it.

Settings aim at tests: only loopback, nothing kept on the disk that must survive, no daemon, logs on standard error.
"""

from __future__ import annotations

import os
import pwd
import signal
from typing import Any, Final

from wavetank.servers import program
from wavetank.servers.process import ServerProcess

_NGINX: Final = """\
daemon off; master_process on; worker_processes 1; pid {dir}/nginx.pid; error_log stderr warn;
%(user)s
events { worker_connections 512; }
http {
  access_log off; default_type text/plain;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server { listen {host}:{port}; root {dir}/www; autoindex on; %(extra)s }
}
"""
#: initdb once for each folder (a restart keeps it), then the server in the same process.
_POSTGRES: Final = (
    "[ -f {dir}/cluster/PG_VERSION ] || initdb -D {dir}/cluster -U postgres -A trust -E UTF8 --locale=C -N"
    " --no-instructions >/dev/null && exec postgres -D {dir}/cluster -p {port} -c listen_addresses={host}"
    " -c unix_socket_directories={dir} -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
)


def redis(**options: Any) -> ServerProcess:
    """A redis server that keeps nothing."""
    command = [
        "redis-server", "--port", "{port}", "--bind", "{host}", "--dir", "{dir}", "--save", "", "--appendonly", "no",
    ]  # fmt: skip
    return ServerProcess(command, **{"ready": "redis", "name": "redis", **options})


def postgres(**options: Any) -> ServerProcess:
    """A PostgreSQL server with a fresh cluster: superuser `postgres`, no password, database `postgres`.

    As root it runs as the account `postgres`, because it refuses to run as root. It is stopped by SIGINT ("fast": its
    clients are disconnected; SIGTERM would wait for them).
    """
    places = [*program.debian_paths(), os.environ.get("PATH", os.defpath)]
    defaults: dict[str, Any] = {
        "ready": "postgres", "name": "postgres", "timeout": 60.0, "stop_signal": signal.SIGINT, "cwd": "{dir}",
        "env": {"PATH": os.pathsep.join(places)}, "user": _account("postgres"),
    }  # fmt: skip
    return ServerProcess(["/bin/sh", "-c", _POSTGRES], **{**defaults, **options})


def nginx(*, extra: str = "", **options: Any) -> ServerProcess:
    """An nginx that serves the folder `server.dir / "www"`; `extra` goes into its server block."""
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    files = {"nginx.conf": _NGINX % {"user": user, "extra": extra}, "www/index.html": "wavetank\n"}
    command = ["nginx", "-c", "{dir}/nginx.conf", "-p", "{dir}", "-e", "stderr"]
    return ServerProcess(command, **{"ready": "http", "name": "nginx", "files": files, **options})


def _account(name: str) -> str | None:
    """The account to change to, for root, where it exists."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        return None
