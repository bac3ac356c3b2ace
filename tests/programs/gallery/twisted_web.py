"""Twisted: web server and Agent, and treq; a body both ways, a resource that is not there."""

import io

import treq
from twisted.internet import defer, endpoints
from twisted.web import client, http_headers, resource, server

LIBRARIES = ("twisted", "treq")
DATA = bytes(range(256)) * 500


class Reverse(resource.Resource):
    isLeaf = True

    def render_POST(self, request):
        return request.content.read()[::-1]


def serve(reactor, port):
    root = resource.Resource()
    root.putChild(b"reverse", Reverse())
    site = endpoints.TCP4ServerEndpoint(reactor, port).listen(server.Site(root))
    return site.addCallback(lambda _: defer.Deferred())


@defer.inlineCallbacks
def ask(reactor, host, port):
    pool = client.HTTPConnectionPool(reactor)
    agent = client.Agent(reactor, pool)
    url = f"http://{host}:{port}".encode()
    headers = http_headers.Headers({b"content-type": [b"application/octet-stream"]})
    producer = client.FileBodyProducer(io.BytesIO(DATA))
    reply = yield agent.request(b"POST", url + b"/reverse", headers, producer)
    body = yield client.readBody(reply)
    assert body == DATA[::-1]
    reply = yield treq.post(url + b"/reverse", data=DATA, agent=agent)
    assert (yield reply.content()) == DATA[::-1]
    reply = yield treq.get(url + b"/missing", agent=agent)
    yield reply.content()
    yield pool.closeCachedConnections()
    return reply.code


def scenario(world):
    world.host("server").run(serve, 8080, runner="twisted")
    world.sleep(0.1)
    assert world.host("client").run(ask, "server", 8080, runner="twisted").result(timeout=60) == 404
