"""The order of calls as data: small machines that each read the same calls.

Owns the tables. It runs nothing (`watch` does) and words nothing (`rules` does); `kinds` says which machines each kind
of object has. The diagrams of the documentation are made from here.

The idea: one machine per thing that has a state of its own - the connection, writing, reading, sending. Each reads
every call, in both directions, and ignores those that it does not name. For every state a machine says of every call
that it names either the state that follows or the rule that is broken; a broken rule changes no state.

Sources: docstrings of asyncio/protocols.py, the page "Transports and Protocols" of the standard library, and
twisted.internet.interfaces; the rules carry them one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Machine(NamedTuple):
    """One machine.

    `start`: its first state, and `joined` the first one for a protocol that is put in place in mid-stream
    (`set_protocol`); None: it goes on where the protocol before it was. `steps`: state -> call -> next state; `breaks`:
    state -> call -> name of the rule that this call breaks. `each` names what there is one machine for, with the first
    argument of a call as its number; empty: there is one.
    """

    name: str
    says: str
    start: str
    joined: str | None
    steps: Mapping[str, Mapping[str, str]]
    breaks: Mapping[str, Mapping[str, str]]
    each: str = ""

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls that this machine reads, in the order of its table."""
        named = [*self.steps.values(), *self.breaks.values()]
        return tuple(dict.fromkeys(call for row in named for call in row))


def _all(calls: str, what: str) -> dict[str, str]:
    return dict.fromkeys(calls.split(), what)


# --- asyncio -----------------------------------------------------------------------------------------------------

_FLOW = "pause_writing resume_writing"

STREAM: Final = Machine(
    "connection",
    "what the transport may call, and when",
    start="start",
    joined="joined",
    steps={
        "start": {"connection_made": "open"},
        "joined": {"connection_made": "open", "data_received": "open", "eof_received": "eof", "connection_lost": "end"},
        "open": {"data_received": "open", "eof_received": "eof", "connection_lost": "end"},
        "eof": {"connection_lost": "end"},
        "end": {},
    },
    breaks={
        "start": _all(f"data_received eof_received connection_lost {_FLOW}", "made-first"),
        "open": {"connection_made": "made-once"},
        "eof": {"connection_made": "made-once", "data_received": "no-data-after-eof", "eof_received": "eof-once"},
        "end": _all(f"connection_made data_received eof_received {_FLOW}", "nothing-after-lost")
        | {"connection_lost": "lost-once"},
    },
)

BUFFERED: Final = Machine(
    "connection",
    "what the transport may call, and when",
    start="start",
    joined="joined",
    steps={
        "start": {"connection_made": "open"},
        "joined": {"connection_made": "open", "get_buffer": "filling", "eof_received": "eof", "connection_lost": "end"},
        "open": {"get_buffer": "filling", "eof_received": "eof", "connection_lost": "end"},
        "filling": {
            "get_buffer": "filling", "buffer_updated": "open", "eof_received": "eof", "connection_lost": "end",
        },
        "eof": {"connection_lost": "end"},
        "end": {},
    },
    breaks={
        "start": _all(f"get_buffer buffer_updated eof_received connection_lost {_FLOW}", "made-first"),
        "joined": {"buffer_updated": "get-buffer-first"},
        "open": {"connection_made": "made-once", "buffer_updated": "get-buffer-first"},
        "filling": {"connection_made": "made-once"},
        "eof": {"connection_made": "made-once", "eof_received": "eof-once"}
        | _all("get_buffer buffer_updated", "no-data-after-eof"),
        "end": _all(f"connection_made get_buffer buffer_updated eof_received {_FLOW}", "nothing-after-lost")
        | {"connection_lost": "lost-once"},
    },
)  # fmt: skip

DATAGRAM: Final = Machine(
    "connection",
    "what the transport may call, and when",
    start="start",
    joined="joined",
    steps={
        "start": {"connection_made": "open"},
        "joined": {"connection_made": "open", "connection_lost": "end"}
        | _all("datagram_received error_received", "open"),
        "open": {"datagram_received": "open", "error_received": "open", "connection_lost": "end"},
        "end": {},
    },
    breaks={
        "start": _all(f"datagram_received error_received connection_lost {_FLOW}", "made-first"),
        "open": {"connection_made": "made-once"},
        "end": _all(f"connection_made datagram_received error_received {_FLOW}", "nothing-after-lost")
        | {"connection_lost": "lost-once"},
    },
)

SUBPROCESS: Final = Machine(
    "process",
    "what the transport may call, and when",
    start="start",
    joined=None,
    steps={
        "start": {"connection_made": "running"},
        "running": {"pipe_data_received": "running", "pipe_connection_lost": "running", "process_exited": "exited"},
        "exited": {"pipe_data_received": "exited", "pipe_connection_lost": "exited", "connection_lost": "end"},
        "end": {},
    },
    breaks={
        "start": _all("pipe_data_received pipe_connection_lost process_exited connection_lost", "made-first"),
        "running": {"connection_made": "made-once", "connection_lost": "exit-first"},
        "exited": {"connection_made": "made-once", "process_exited": "exit-once"},
        "end": _all("connection_made pipe_data_received pipe_connection_lost process_exited", "nothing-after-lost")
        | {"connection_lost": "lost-once"},
    },
)

PIPE: Final = Machine(
    "pipe",
    "one for each file descriptor of a process",
    start="open",
    joined=None,
    steps={
        "open": {"pipe_data_received": "open", "pipe_connection_lost": "lost"},
        "lost": {"connection_lost": "lost"},
    },
    breaks={
        "open": {"connection_lost": "pipes-first"},
        "lost": {"pipe_data_received": "no-data-after-pipe-lost", "pipe_connection_lost": "pipe-lost-once"},
    },
    each="pipe_data_received pipe_connection_lost",
)

WRITING: Final = Machine(
    "writing",
    "flow control: the pairs of pause_writing and resume_writing",
    start="flowing",
    joined="either",
    steps={
        "flowing": {"pause_writing": "paused"},
        "paused": {"resume_writing": "flowing"},
        "either": {"pause_writing": "paused", "resume_writing": "flowing"},
    },
    breaks={
        "flowing": {"resume_writing": "resume-after-pause"},
        "paused": {"pause_writing": "pause-once"},
    },
)

READING: Final = Machine(
    "reading",
    "what the protocol said about reading",
    start="reading",
    joined=None,
    steps={
        "reading": {"pause_reading": "paused"} | _all("resume_reading data_received get_buffer", "reading"),
        "paused": {"resume_reading": "reading", "pause_reading": "paused"},
    },
    breaks={"paused": _all("data_received get_buffer", "no-data-while-paused")},
)

_WRITES = "write writelines"

SENDING: Final = Machine(
    "sending",
    "what the protocol may call on the transport",
    start="open",
    joined=None,
    steps={
        "open": _all(_WRITES, "open")
        | {"write_eof": "eof", "close": "closing", "abort": "closing", "connection_lost": "lost"},
        "eof": {"write_eof": "eof", "close": "closing", "abort": "closing", "connection_lost": "lost"},
        "closing": _all("write_eof close abort", "closing") | {"connection_lost": "lost"},
        "lost": _all("close abort", "lost"),
    },
    breaks={
        "eof": _all(_WRITES, "write-after-eof"),
        "closing": _all(_WRITES, "write-after-close") | _all("data_received get_buffer", "no-data-after-close"),
        "lost": _all(f"{_WRITES} write_eof", "write-after-lost"),
    },
)

SENDING_DATAGRAMS: Final = Machine(
    "sending",
    "what the protocol may call on the transport",
    start="open",
    joined=None,
    steps={
        "open": {"sendto": "open", "close": "closing", "abort": "closing", "connection_lost": "lost"},
        "closing": {"close": "closing", "abort": "closing", "connection_lost": "lost"},
        "lost": _all("close abort", "lost"),
    },
    breaks={
        "closing": {"sendto": "write-after-close", "datagram_received": "no-data-after-close"},
        "lost": {"sendto": "write-after-lost"},
    },
)

# --- Twisted -----------------------------------------------------------------------------------------------------

_TX_HALVES = "readConnectionLost writeConnectionLost"

TX_STREAM: Final = Machine(
    "connection",
    "what the transport may call, and when",
    start="start",
    joined="joined",
    steps={
        "start": {"makeConnection": "open"},
        "joined": {
            "makeConnection": "open", "dataReceived": "open", "writeConnectionLost": "joined",
            "readConnectionLost": "eof", "connectionLost": "end",
        },
        "open": {
            "dataReceived": "open", "writeConnectionLost": "open", "readConnectionLost": "eof", "connectionLost": "end",
        },
        "eof": {"writeConnectionLost": "eof", "connectionLost": "end"},
        "end": {},
    },
    breaks={
        "start": _all(f"dataReceived connectionLost {_TX_HALVES}", "made-first"),
        "open": {"makeConnection": "made-once"},
        "eof": {
            "makeConnection": "made-once", "dataReceived": "no-data-after-eof", "readConnectionLost": "eof-once",
        },
        "end": _all(f"makeConnection dataReceived {_TX_HALVES}", "nothing-after-lost")
        | {"connectionLost": "lost-once"},
    },
)  # fmt: skip

TX_READING: Final = Machine(
    "reading",
    "what the protocol said about reading",
    start="reading",
    joined=None,
    steps={
        "reading": {"pauseProducing": "paused"} | _all("resumeProducing dataReceived", "reading"),
        "paused": {"resumeProducing": "reading", "pauseProducing": "paused"},
    },
    breaks={"paused": {"dataReceived": "no-data-while-paused"}},
)

_TX_WRITES = "write writeSequence"

TX_SENDING: Final = Machine(
    "sending",
    "what the protocol may call on the transport",
    start="open",
    joined=None,
    steps={
        "open": _all(_TX_WRITES, "open")
        | _all("loseConnection stopProducing", "closing")
        | {"loseWriteConnection": "half", "abortConnection": "aborted", "connectionLost": "lost"},
        "half": _all("loseConnection stopProducing", "closing")
        | {"loseWriteConnection": "half", "abortConnection": "aborted", "connectionLost": "lost"},
        "closing": _all(f"{_TX_WRITES} loseConnection stopProducing loseWriteConnection", "closing")
        | {"abortConnection": "aborted", "connectionLost": "lost"},
        "aborted": _all(f"{_TX_WRITES} loseConnection stopProducing loseWriteConnection abortConnection", "aborted")
        | {"connectionLost": "lost"},
        "lost": _all("loseConnection stopProducing loseWriteConnection abortConnection", "lost"),
    },
    breaks={
        "half": _all(_TX_WRITES, "write-after-eof"),
        "aborted": {"dataReceived": "no-data-after-close"},
        "lost": _all(_TX_WRITES, "write-after-lost"),
    },
)

CONSUMER: Final = Machine(
    "consumer",
    "the producer that is registered with a consumer",
    start="alone",
    joined=None,
    steps={
        "alone": {"registerProducer": "registered", "unregisterProducer": "alone", "connectionLost": "alone"},
        "registered": {"unregisterProducer": "alone", "connectionLost": "alone"},
    },
    breaks={"registered": {"registerProducer": "one-producer"}},
)

TX_DATAGRAM: Final = Machine(
    "port",
    "what the port may call, and when",
    start="start",
    joined=None,
    steps={
        "start": {"makeConnection": "open"},
        "open": _all("makeConnection datagramReceived connectionRefused", "open") | {"doStop": "start"},
    },
    breaks={"start": _all("datagramReceived connectionRefused doStop", "started-first")},
)

TX_PROCESS: Final = Machine(
    "process",
    "what the transport may call, and when",
    start="start",
    joined=None,
    steps={
        "start": {"makeConnection": "running"},
        "running": {"childDataReceived": "running", "childConnectionLost": "running", "processExited": "exited"},
        "exited": {"childDataReceived": "exited", "childConnectionLost": "exited", "processEnded": "end"},
        "end": {},
    },
    breaks={
        "start": _all("childDataReceived childConnectionLost processExited processEnded", "made-first"),
        "running": {"makeConnection": "made-once", "processEnded": "exit-first"},
        "exited": {"makeConnection": "made-once", "processExited": "exit-once"},
        "end": _all("makeConnection childDataReceived childConnectionLost processExited", "nothing-after-lost")
        | {"processEnded": "lost-once"},
    },
)

TX_PIPE: Final = Machine(
    "pipe",
    "one for each file descriptor of a process",
    start="open",
    joined=None,
    steps={
        "open": {"childDataReceived": "open", "childConnectionLost": "lost"},
        "lost": {"processEnded": "lost"},
    },
    breaks={
        "open": {"processEnded": "pipes-first"},
        "lost": {"childDataReceived": "no-data-after-pipe-lost", "childConnectionLost": "pipe-lost-once"},
    },
    each="childDataReceived childConnectionLost",
)

PUSH: Final = Machine(
    "producer",
    "what a consumer may call on a push producer",
    start="producing",
    joined=None,
    steps={
        "producing": {"pauseProducing": "paused", "resumeProducing": "producing", "stopProducing": "stopped"},
        "paused": {"pauseProducing": "paused", "resumeProducing": "producing", "stopProducing": "stopped"},
        "stopped": {},
    },
    breaks={"stopped": _all("pauseProducing resumeProducing stopProducing", "nothing-after-stop")},
)

PULL: Final = Machine(
    "producer",
    "what a consumer may call on a pull producer",
    start="producing",
    joined=None,
    steps={
        "producing": {"resumeProducing": "producing", "stopProducing": "stopped"},
        "stopped": {},
    },
    breaks={
        "producing": {"pauseProducing": "pull-is-not-paused"},
        "stopped": _all("pauseProducing resumeProducing stopProducing", "nothing-after-stop"),
    },
)

_CHILD_WRITES = "write writeSequence writeToChild"

TX_PROCESS_SENDING: Final = Machine(
    "sending",
    "what the protocol may call on the process",
    start="open",
    joined=None,
    steps={"open": _all(_CHILD_WRITES, "open") | {"processEnded": "lost"}, "lost": {}},
    breaks={"lost": _all(_CHILD_WRITES, "write-after-lost")},
)
