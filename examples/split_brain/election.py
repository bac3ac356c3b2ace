"""Three nodes elect a leader by majority, and another one when they no longer hear it."""

import asyncio
import random

from wavetank import World

NODES = ("a", "b", "c")
PORT = 7001
BEAT_S = 0.5
SILENCE_S = 2.0

#: Who has led in which term, as the nodes note it.
leaders = {}


class Node(asyncio.DatagramProtocol):
    """One node. Its datagrams are "WORD TERM NAME": here (I am up), beat (I lead), ask (for a vote), vote."""

    def __init__(self, name):
        self.name = name
        self.others = [other for other in NODES if other != name]
        self.clock = asyncio.get_running_loop().time
        self.term = self.voted = 0
        self.leads = False
        self.votes = set()
        self.heard = {}
        self.led_at = self.clock()

    def connection_made(self, transport):
        self.transport = transport

    def send(self, word, *others):
        for other in others:
            self.transport.sendto(f"{word} {self.term} {self.name}".encode(), (other, PORT))

    def datagram_received(self, data, address):
        word, term, sender = data.decode().split()
        self.heard[sender] = self.clock()
        if int(term) > self.term:
            self.term, self.leads = int(term), False
        if int(term) < self.term:
            return
        if word == "beat":
            self.led_at = self.clock()
        elif word == "ask" and self.voted < self.term:
            self.voted, self.led_at = self.term, self.clock()
            self.send("vote", sender)
        elif word == "vote":
            self.votes.add(sender)

    async def live(self):
        """Say that we are here, or lead; stand for election when nobody leads."""
        while True:
            self.send("beat" if self.leads else "here", *self.others)
            await asyncio.sleep(random.uniform(BEAT_S / 2, BEAT_S))
            if not self.leads and self.clock() - self.led_at > random.uniform(1, 2) * SILENCE_S:
                await self.stand()

    async def stand(self):
        """Ask for votes, wait for them, and lead if they are enough."""
        self.term += 1
        self.voted, self.votes, term = self.term, {self.name}, self.term
        self.send("ask", *self.others)
        await asyncio.sleep(BEAT_S)
        self.led_at = self.clock()
        if self.term == term and len(self.votes) > self.electors() / 2:
            self.leads = True
            leaders.setdefault(term, set()).add(self.name)

    def electors(self):
        """How many nodes there are to elect a leader: we and those that are up."""
        return 1 + sum(self.clock() - heard < SILENCE_S for heard in self.heard.values())


async def node(name):
    """One node, for ever."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(lambda: Node(name), local_addr=("0.0.0.0", PORT))
    await protocol.live()


def one_leader_for_each_term(world: World) -> None:
    """Half a minute. No term has two leaders, ever; and after it, the network whole again, there is one."""
    leaders.clear()
    for name in NODES:
        world.host(name).run(node, name)

    def check():
        for term, names in leaders.items():
            assert len(names) == 1, f"term {term} has {len(names)} leaders: {' and '.join(sorted(names))}"

    world.always(check)
    world.sleep(30)
    assert leaders, "nobody was elected"
