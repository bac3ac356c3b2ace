"""The relays that are compared: for each the commands that make it listen on a port, or None when it is not installed.

A contender is a function of the port to listen on, the port behind it and an empty folder.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAVETANK = str(Path(sys.executable).with_name("wavetank"))
NGINX_STREAM = os.environ.get("NGINX_STREAM", "/usr/lib/nginx/modules/ngx_stream_module.so")

Command = list[str]


def wavetank(*options: str) -> Callable[[int, int, Path], Command | None]:
    """The proxy of this project."""
    return lambda port, behind, folder: [
        WAVETANK, "proxy", f"127.0.0.1:{behind}", "--listen", f"127.0.0.1:{port}", *options
    ]  # fmt: skip


def asyncio_streams(port: int, behind: int, folder: Path) -> Command | None:
    """The relay that everybody writes in about 40 lines."""
    return [sys.executable, str(HERE / "relay.py"), str(port), str(behind)]


def socat(*options: str) -> Callable[[int, int, Path], Command | None]:
    """A process for each connection; the default block has 8 KiB."""
    return lambda port, behind, folder: (
        [
            "socat", *options, f"TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=1024",
            f"TCP4:127.0.0.1:{behind},nodelay",
        ]
        if shutil.which("socat")
        else None
    )  # fmt: skip


def haproxy(option: str = "") -> Callable[[int, int, Path], Command | None]:
    """One thread, as one processor is what the others use."""

    def command(port: int, behind: int, folder: Path) -> Command | None:
        config = folder / "haproxy.cfg"
        config.write_text(
            "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n"
            f"  timeout server 60s\n  {option}\nlisten x\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{behind}\n"
        )
        return ["haproxy", "-db", "-f", str(config)] if shutil.which("haproxy") else None

    return command


def nginx(option: str = "") -> Callable[[int, int, Path], Command | None]:
    """The stream module, with a buffer of 64 KiB."""

    def command(port: int, behind: int, folder: Path) -> Command | None:
        config = folder / "nginx.conf"
        config.write_text(
            f"load_module {NGINX_STREAM};\nworker_processes 1; daemon off; master_process off;\n"
            f"pid {folder}/pid; error_log {folder}/error.log;\nevents {{ worker_connections 8192; }}\n"
            "stream { tcp_nodelay on; proxy_buffer_size 64k; "
            f"server {{ listen 127.0.0.1:{port} backlog=1024; proxy_pass 127.0.0.1:{behind}; {option} }} }}\n"
        )
        there = shutil.which("nginx") and Path(NGINX_STREAM).exists()
        return ["nginx", "-c", str(config), "-p", str(folder), "-e", f"{folder}/first.log"] if there else None

    return command


CONTENDERS: dict[str, Callable[[int, int, Path], Command | None]] = {
    "wavetank": wavetank(),
    "wavetank, no splice": wavetank("--no-splice"),
    "asyncio, 40 lines": asyncio_streams,
    "socat": socat(),
    "socat -b 262144": socat("-b", "262144"),
    "haproxy": haproxy(),
    "haproxy, splice": haproxy("option splice-auto"),
    "nginx": nginx(),
    "nginx, half close on": nginx("proxy_half_close on;"),
}
