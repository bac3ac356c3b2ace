"""The control API: loopback and token, faults over HTTP, and what is refused."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lines import connected, echo, exactly, serving, silent
from wavetank.errors import UsageError
from wavetank.proxy import FaultProxy

TOKEN = "open sesame"


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with serving(echo) as server, FaultProxy(server.port, control="127.0.0.1:0", token=TOKEN) as running:
        yield running


def ask(
    proxy: FaultProxy, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    assert proxy.control_url is not None
    connection = http.client.HTTPConnection(proxy.control_url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"} | headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_faults_are_switched_on_and_off_while_a_connection_lives(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
        status, answer = ask(proxy, "POST", "/faults", '{"fault": "stall"}')
        assert (status, answer) == (201, {"schema": 1, "ids": [1]})
        client.sendall(b"held")
        assert silent(client)
        status, answer = ask(proxy, "GET", "/faults")
        assert answer["faults"] == [{"id": 1, "in_force": True, "text": "0.00 s: stalled reader", "fault": "stall"}]
        assert ask(proxy, "DELETE", "/faults/1") == (200, {"schema": 1, "faults": []})
        assert exactly(client, 4) == b"held"


def test_several_faults_at_once_or_none(proxy: FaultProxy) -> None:
    good, bad = '{"fault": "latency", "delay_s": 0.1}', '{"fault": "crash"}'
    status, answer = ask(proxy, "POST", "/faults", f'{{"faults": [{good}, {bad}]}}')
    assert status == 400
    assert answer["error"].startswith("crash is for the simulator only")
    assert ask(proxy, "GET", "/faults")[1]["faults"] == []
    assert ask(proxy, "POST", "/faults", f'{{"faults": [{good}, {good}]}}') == (201, {"schema": 1, "ids": [1, 2]})
    assert ask(proxy, "DELETE", "/faults") == (200, {"schema": 1, "faults": []})


def test_status_and_events(proxy: FaultProxy) -> None:
    with connected(proxy.port) as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
        status, answer = ask(proxy, "GET", "/")
        assert (status, answer["upstream"], answer["connections"]) == (200, proxy.upstream, [1])
        _, answer = ask(proxy, "GET", "/events")
        assert [event["kind"] for event in answer["events"]][:3] == ["listen", "accept", "connect"]
        _, rest = ask(proxy, "GET", f"/events?since={answer['next']}")
        assert (rest["events"], rest["next"]) == ([], answer["next"])


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "error"),
    [
        ("GET", "/", None, {"Authorization": "Bearer wrong token"}, 401, "the token is missing or wrong"),
        ("GET", "/", None, {"Authorization": ""}, 401, "the token is missing or wrong"),
        ("GET", "/", None, {"Host": "evil.example"}, 403, "names another host than loopback"),
        ("GET", "/nothing", None, {}, 404, "there is no /nothing; there are /, /faults and /events"),
        ("PUT", "/faults", "{}", {}, 405, "PUT is not for /faults"),
        ("DELETE", "/faults/9", None, {}, 404, "there is no fault '9'"),
        ("GET", "/events?since=x", None, {}, 400, "since must be a number"),
        ("POST", "/faults", '{"fault": "latncy"}', {}, 400, "unknown fault 'latncy'. Did you mean 'latency'?"),
        ("POST", "/faults", "[1, 2", {}, 400, "the fault is cut short"),
        ("POST", "/faults", '"text"', {}, 400, "a fault must be an object"),
        ("POST", "/faults", '{"faults": 3}', {}, 400, "the body must be a fault"),
        ("POST", "/faults", "x", {"Content-Length": "9999999"}, 413, "the limit of a body is 1,048,576 bytes"),
        ("POST", "/faults", "x", {"Content-Length": "-1"}, 400, "Content-Length is not a number"),
    ],
)
def test_what_is_refused(
    proxy: FaultProxy, method: str, path: str, body: str | None, headers: dict[str, str], status: int, error: str
) -> None:
    found, answer = ask(proxy, method, path, body, **headers)
    assert (found, answer["schema"]) == (status, 1)
    assert error in answer["error"]


def test_what_is_not_http_ends_quietly(proxy: FaultProxy) -> None:
    assert proxy.control_url is not None
    port = int(proxy.control_url.rpartition(":")[2])
    with connected(port) as client:
        client.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 400"
    with connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 431"
    with connected(port) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_it_is_off_unless_asked_for() -> None:
    with FaultProxy(1) as proxy:
        assert (proxy.control_url, proxy.token) == (None, None)


def test_a_token_is_drawn_when_none_is_given() -> None:
    with FaultProxy(1, control=True) as one, FaultProxy(1, control=True) as other:
        assert len(one.token or "") >= 32
        assert one.token != other.token


@pytest.mark.parametrize(
    ("control", "token", "line"),
    [
        ("0.0.0.0:0", None, "control: 0.0.0.0:0 is not on loopback; use 127.0.0.1, [::1] or localhost"),
        ("unix:/x", None, "control: unix:/x is not on loopback"),
        (True, "short", "token: at least 8 printable ASCII characters are needed"),
        (None, TOKEN, "token: there is no control API to protect"),
    ],
)
def test_an_open_control_api_is_refused(control: object, token: str | None, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        FaultProxy(1, control=control, token=token)
    assert line in str(caught.value)
