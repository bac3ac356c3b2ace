"""dnspython: a small server on UDP and TCP, a blocking and an asyncio resolver; truncated answers, a missing name."""

import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import dns.rrset

LIBRARIES = ("dnspython",)
TEXT = "x" * 200


def answer(wire, limit):
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    name = query.question[0].name
    if str(name) == "here.test.":
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "10.1.1.1", "10.1.1.2"))
    elif str(name) == "big.test.":
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *(f'"{n} {TEXT}"' for n in range(250))))
    else:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    if len(whole := reply.to_wire()) > limit:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.TC
        whole = reply.to_wire()
    return whole


class Packets(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(answer(data, 512), address)


async def stream(reader, writer):
    while header := await reader.read(2):
        header += await reader.read(2 - len(header))
        whole = answer(await reader.readexactly(int.from_bytes(header, "big")), 65_535)
        writer.write(len(whole).to_bytes(2, "big") + whole)
    writer.close()


async def serve():
    await asyncio.get_running_loop().create_datagram_endpoint(Packets, ("10.1.0.1", 53))
    async with await asyncio.start_server(stream, None, 53) as server:
        await server.serve_forever()


def check(addresses, texts):
    assert sorted(each.address for each in addresses) == ["10.1.1.1", "10.1.1.2"]
    assert sum(len(part) for each in texts for part in each.strings) > 50_000


def blocking():
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["10.1.0.1"]
    check(resolver.resolve("here.test"), resolver.resolve("big.test", "TXT"))
    try:
        resolver.resolve("missing.test")
    except dns.resolver.NXDOMAIN as error:
        return str(error.canonical_name)


async def asynchronous():
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["10.1.0.1"]
    check(*await asyncio.gather(resolver.resolve("here.test"), resolver.resolve("big.test", "TXT")))
    query = dns.message.make_query("nobody.test", "A")
    reply = await dns.asyncquery.tcp(query, "10.1.0.1", timeout=10)
    return dns.rcode.to_text(reply.rcode())


def scenario(world):
    server, client = world.host("server", addresses=["10.1.0.1"]), world.host("client")
    server.run(serve)
    world.sleep(0.1)
    assert client.run(blocking).result(timeout=60) == "missing.test."
    assert client.run(asynchronous).result(timeout=60) == "NXDOMAIN"
