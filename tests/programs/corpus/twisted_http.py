"""A web server of Twisted; a client that sends three requests in a row."""

from typing import Any

from twisted.web import resource, server

CONVERSATION = [
    b"POST /one HTTP/1.1\r\nHost: example\r\nContent-Length: 11\r\n\r\nhello=world",
    b"GET /two HTTP/1.1\r\nHost: example\r\n\r\n",
    b"GET /three HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n",
]


class Upload(resource.Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"page " + request.path

    def render_POST(self, request: Any) -> bytes:
        return b"stored %d at " % len(request.content.read()) + request.path


def factory() -> server.Site:
    return server.Site(Upload())
