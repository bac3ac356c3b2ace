"""Files that were written a moment ago, from http.server's folder and aiohttp's: dates, tags, ranges; a missing one."""

import functools
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
from aiohttp import web

LIBRARIES = ("aiohttp", "requests")
LONG = True
DATA = bytes(range(256)) * 450


def serve():
    folder = Path(tempfile.mkdtemp())
    (folder / "data").write_bytes(DATA)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    threading.Thread(target=ThreadingHTTPServer(("", 8000), handler).serve_forever, daemon=True).start()
    app = web.Application()
    app.router.add_static("/", folder, show_index=True)
    web.run_app(app, port=8001, print=None)


def get(url, **headers):
    return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=60)


def ask(host):
    plain, served = get(f"http://{host}:8000/data"), get(f"http://{host}:8001/data")
    assert plain.content == served.content == DATA
    assert get(f"http://{host}:8000/data", If_Modified_Since=plain.headers["Last-Modified"]).status_code == 304
    assert get(f"http://{host}:8001/data", If_None_Match=served.headers["ETag"]).status_code == 304
    assert get(f"http://{host}:8001/data", Range="bytes=100-199").content == DATA[100:200]
    assert "data" in get(f"http://{host}:8000/").text
    return get(f"http://{host}:8001/missing").status_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve)
    world.sleep(0.1)
    assert client.run(ask, "server").result(timeout=120) == 404
