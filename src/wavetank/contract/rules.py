"""The rules of the contract between a protocol and its transport: name, words, breaker, source.

Owns the texts. It decides nothing: `lifecycle` says in which state which call breaks which rule, `values` which
argument does. A rule without a source is not a rule: what documentation leaves open is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Who makes a call, and who breaks a rule: the transport calls the protocol, the protocol calls the transport.
TRANSPORT: Final = "transport"
PROTOCOL: Final = "protocol"


@dataclass(frozen=True)
class Rule:
    """One rule: its `name`, what it `says`, the `breaker` (`"transport"` or `"protocol"`), and its `source`."""

    name: str
    says: str
    breaker: str
    source: str


_PROTOCOLS = "asyncio/protocols.py, docstring of "
_DOCS = "Python documentation, asyncio Transports and Protocols: "
_TWISTED = "twisted.internet.interfaces."

_RULES: tuple[Rule, ...] = (
    Rule(
        "made-first",
        "connection_made comes before any other call",
        TRANSPORT,
        _PROTOCOLS + "Protocol: start -> CM [-> DR*] [-> ER?] -> CL -> end; Twisted: IProtocol.makeConnection",
    ),
    Rule(
        "made-once",
        "connection_made is called exactly once per connection",
        TRANSPORT,
        _DOCS + '"Connection callbacks are called on all protocols, exactly once per a successful connection"',
    ),
    Rule(
        "lost-once",
        "connection_lost is called exactly once",
        TRANSPORT,
        _PROTOCOLS + 'Protocol: "connection_lost() will be called exactly once"; Twisted: IProtocol.connectionLost',
    ),
    Rule(
        "lost-at-all",
        "a connection that was made is lost in the end",
        TRANSPORT,
        _PROTOCOLS + 'Protocol: "finally, connection_lost() will be called exactly once"',
    ),
    Rule(
        "nothing-after-lost",
        "no call follows connection_lost",
        TRANSPORT,
        _PROTOCOLS
        + 'Protocol: ... -> CL -> end; Twisted: IProtocol.connectionLost ("all references are to be given up")',
    ),
    Rule(
        "no-data-after-eof",
        "no data follows eof_received",
        TRANSPORT,
        _DOCS + "data_received ... [-> eof_received]? -> connection_lost; Twisted: IHalfCloseableProtocol",
    ),
    Rule(
        "eof-once",
        "eof_received is called at most once",
        TRANSPORT,
        _DOCS + '"eof_received() is called at most once"',
    ),
    Rule(
        "data-not-empty",
        "received data is not empty",
        TRANSPORT,
        _DOCS + 'data_received: "data is a non-empty bytes object containing the incoming data"',
    ),
    Rule(
        "data-is-bytes",
        "received data is a bytes object",
        TRANSPORT,
        _DOCS + 'data_received: "data is a non-empty bytes object"; Twisted: IProtocol.dataReceived(data: bytes)',
    ),
    Rule(
        "reason-is-exception",
        "connection_lost gets None or an exception",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.connection_lost: "The argument is an exception object or None"',
    ),
    Rule(
        "reason-is-failure",
        "connectionLost gets a Failure",
        TRANSPORT,
        _TWISTED + "IProtocol.connectionLost(reason: failure.Failure)",
    ),
    Rule(
        "error-is-oserror",
        "error_received gets an OSError",
        TRANSPORT,
        _DOCS + 'error_received: "exc is the OSError instance"',
    ),
    Rule(
        "get-buffer-first",
        "buffer_updated follows a get_buffer",
        TRANSPORT,
        _PROTOCOLS + "BufferedProtocol: start -> CM [-> GB [-> BU?]]* [-> ER?] -> CL -> end",
    ),
    Rule(
        "updated-within-buffer",
        "buffer_updated counts at least one byte and at most those of the buffer",
        TRANSPORT,
        _PROTOCOLS + 'BufferedProtocol.buffer_updated: "the total number of bytes that were written to the buffer"',
    ),
    Rule(
        "get-buffer-is-a-buffer",
        "get_buffer returns an object with the buffer protocol that is not empty",
        PROTOCOL,
        _PROTOCOLS + 'BufferedProtocol.get_buffer: "It is an error to return a zero-sized buffer"',
    ),
    Rule(
        "pause-once",
        "pause_writing is called once until resume_writing",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "Pause and resume calls are paired"',
    ),
    Rule(
        "resume-after-pause",
        "resume_writing follows a pause_writing",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "Pause and resume calls are paired"',
    ),
    Rule(
        "pause-over-high",
        "pause_writing is called when the buffer is strictly over the high-water mark",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "it must go strictly over"',
    ),
    Rule(
        "pause-at-once",
        "a write that leaves the buffer over the high-water mark has called pause_writing",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "called when the transport\'s buffer goes over the high-water mark",'
        " not through call_soon",
    ),
    Rule(
        "resume-at-low",
        "resume_writing is called when the buffer is at or below the low-water mark",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "equal or lower than the low-water mark"',
    ),
    Rule(
        "not-inside-a-call",
        "no call but pause_writing comes while the protocol calls the transport (Twisted: no loss inside an abort)",
        TRANSPORT,
        _PROTOCOLS + 'BaseProtocol.pause_writing: "the only Protocol callback that is not called through'
        ' EventLoop.call_soon()"; Twisted: AbortConnectionMixin (connectionLost is not called "re-entrantly")',
    ),
    Rule(
        "no-data-while-paused",
        "no data comes between pause_reading and resume_reading",
        TRANSPORT,
        _DOCS + "pause_reading: \"No data will be passed to the protocol's data_received() method until"
        ' resume_reading() is called"; Twisted: IPushProducer.pauseProducing',
    ),
    Rule(
        "no-data-after-close",
        "no data comes after close or abort",
        TRANSPORT,
        _DOCS + 'close, abort: "No more data will be received"; Twisted: ITCPTransport.abortConnection',
    ),
    Rule(
        "pipe-lost-once",
        "each pipe of a process is lost once",
        TRANSPORT,
        _PROTOCOLS + "SubprocessProtocol.pipe_connection_lost; Twisted: IProcessProtocol.childConnectionLost",
    ),
    Rule(
        "no-data-after-pipe-lost",
        "no data comes from a pipe that is lost",
        TRANSPORT,
        _PROTOCOLS + "SubprocessProtocol.pipe_connection_lost; Twisted: IProcessProtocol.childConnectionLost",
    ),
    Rule(
        "exit-once",
        "a process exits once",
        TRANSPORT,
        _PROTOCOLS + "SubprocessProtocol.process_exited; Twisted: IProcessProtocol.processExited",
    ),
    Rule(
        "exit-first",
        "the end of a process's connection comes after its exit",
        TRANSPORT,
        'asyncio/base_subprocess.py, _try_finish; Twisted: IProcessProtocol.processEnded ("when the child process has'
        ' ended and all file descriptors associated with it have been closed")',
    ),
    Rule(
        "pipes-first",
        "the end of a process's connection comes after the loss of each of its pipes",
        TRANSPORT,
        "asyncio/base_subprocess.py, _try_finish; Twisted: IProcessProtocol.processEnded",
    ),
    Rule(
        "write-after-lost",
        "nothing is written after connection_lost",
        PROTOCOL,
        _DOCS + 'close: "The transport should not be used once it is closed"',
    ),
    Rule(
        "write-after-close",
        "nothing is written after close or abort",
        PROTOCOL,
        _DOCS + 'close: "The transport should not be used once it is closed"',
    ),
    Rule(
        "write-after-eof",
        "nothing is written after write_eof",
        PROTOCOL,
        _DOCS
        + 'write_eof: "Close the write end of the transport"; Twisted: IHalfCloseableDescriptor.loseWriteConnection',
    ),
    Rule(
        "write-is-bytes",
        "what is written is bytes, a bytearray or a memoryview",
        PROTOCOL,
        "asyncio/transports.py, WriteTransport.write; asyncio/selector_events.py (TypeError)",
    ),
    Rule(
        "twisted-write-is-bytes",
        "what is written to a Twisted transport is bytes",
        PROTOCOL,
        _TWISTED + "ITransport.write(data: bytes); twisted.internet.abstract.FileDescriptor.write (TypeError)",
    ),
    Rule(
        "one-producer",
        "a consumer has one producer at a time",
        PROTOCOL,
        _TWISTED + 'IConsumer.registerProducer: RuntimeError "if a producer is already registered"',
    ),
    Rule(
        "nothing-after-stop",
        "a producer that was stopped is not called again",
        TRANSPORT,
        _TWISTED + 'IProducer.stopProducing: "it must stop producing data for good"',
    ),
    Rule(
        "pull-is-not-paused",
        "a pull producer is not paused",
        TRANSPORT,
        _TWISTED + "IPullProducer has no pauseProducing",
    ),
    Rule(
        "started-first",
        "a datagram protocol is connected to a port before it gets datagrams, and stopped after that only",
        TRANSPORT,
        "twisted.internet.protocol.AbstractDatagramProtocol.doStart and doStop (an assertion there)",
    ),
)

#: Every rule by its name.
RULES: Final[dict[str, Rule]] = {rule.name: rule for rule in _RULES}
