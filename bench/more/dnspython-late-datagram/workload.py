"""A program looks names up at a name server with dnspython's resolver for asyncio, and gives up early on each try.

Invariant: a lookup gives the address or says that it timed out; nothing is left to the loop's exception handler.
"""
import asyncio
import sys

import dns.asyncresolver
import dns.exception
import dns.message
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.7"))
        asyncio.get_running_loop().call_later(0.02, self.transport.sendto, answer.to_wire(), addr)


async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
    resolver.timeout, resolver.lifetime = 0.05, 0.5
    for number in range(20):
        try:
            found = await resolver.resolve(f"host{number}.example.", "A", search=False)
        except dns.exception.Timeout:
            continue
        assert [str(each) for each in found] == ["192.0.2.7"], str(found)
    transport.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
