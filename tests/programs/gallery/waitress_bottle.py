"""waitress, whose loop is asyncore's, serves a Bottle application to niquests: an upload, JSON, an error."""

import bottle
import niquests
import waitress

LIBRARIES = ("waitress", "bottle", "niquests")
LONG = True
DATA = bytes(range(256)) * 450
app = bottle.Bottle()


@app.post("/reverse")
def reverse():
    return bottle.request.body.read()[::-1]


@app.get("/divide/<a:int>/<b:int>")
def divide(a, b):
    if not b:
        bottle.abort(400, "not by zero")
    return {"result": a / b}


def serve(port):
    waitress.serve(app, listen=f"*:{port}", threads=4)


def ask(base):
    with niquests.Session(disable_ipv6=True) as client:
        assert client.post(f"{base}/reverse", data=DATA, timeout=60).content == DATA[::-1]
        assert client.get(f"{base}/divide/6/4", timeout=60).json() == {"result": 1.5}
        return client.get(f"{base}/divide/1/0", timeout=60).status_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(ask, "http://server:8000").result(timeout=120) == 400
