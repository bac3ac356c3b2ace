"""Flask on Werkzeug's threaded server, called by requests: uploads, a streamed answer, a session, a missing page."""

import requests
from flask import Flask, jsonify, request, session

LIBRARIES = ("flask", "werkzeug", "requests")
LONG = True
DATA = bytes(range(256)) * 450
app = Flask(__name__)
app.secret_key = "known"


@app.post("/reverse")
def reverse():
    return request.get_data()[::-1]


@app.get("/stream")
def stream():
    return (bytes(1024) for _ in range(120)), {"Content-Type": "application/octet-stream"}


@app.get("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


def serve(port):
    app.run("0.0.0.0", port, threaded=True)


def ask(base):
    with requests.Session() as client:
        assert client.post(f"{base}/reverse", data=DATA, timeout=30).content == DATA[::-1]
        assert client.get(f"{base}/stream", timeout=30).content == bytes(1024 * 120)
        assert [client.get(f"{base}/visits", timeout=30).json()["visits"] for _ in range(3)] == [1, 2, 3]
        return client.get(f"{base}/missing", timeout=30).status_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(0.1)
    assert client.run(ask, "http://server:8000").result(timeout=120) == 404
