"""What faults do to a connection at the gates of its two paths: resets, ends of stream, and the events faults wait for.

Owns the middlebox in which `Reset` and `Eof` are. It sees every segment of the connections at which they aim, lets
pass what comes before their byte, and then speaks to each end as the other one would: RST to both (RFC 9293 section
3.5.2), or FIN, after which it answers itself for the side that is gone - acknowledges what is written into a direction
that was half closed, or refuses it with RST when both are closed, as a proxy does that has closed its sockets.

It has no buffers, so numbers need no translation but one: who has got a FIN acknowledges one number more than the other
end has sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wavetank.faults import AnyFault, Eof, Reset
from wavetank.kernel import core
from wavetank.kernel.tcp.state import ACK, CLOSE, FIN, LISTEN, RST, SYN, SYN_RECV, SYN_SENT, Segment
from wavetank.network import rules
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.tcp.connection import Tcp
    from wavetank.kernel.tcp.wire import End

_NOT_OPEN = (SYN_SENT, SYN_RECV, CLOSE, LISTEN)
#: The window of the middlebox when it answers for one side.
_WINDOW = 65_535


# ---- who is there


def _other(end: End) -> End:
    """Where the opposite direction ends: there sits who sends what arrives here."""
    gate: Any = end.back.gate
    other: End = gate
    return other


def passed(end: End) -> int:
    """How many bytes of the stream have been sent this way; -1: the connection is not open at both ends."""
    reader, writer = end.socket(), _other(end).socket()
    if reader is None or writer is None or reader.state in _NOT_OPEN or writer.state in _NOT_OPEN:
        return -1
    return int(writer.sent_next) - 1 - bool(getattr(writer, "fin_sent", True))


# ---- what passes


def passes(end: End, segment: Segment, size: int) -> bool:
    """Whether a segment on its way to `end` passes; False: it has been dealt with."""
    if end.struck:
        return False
    if end.ended_at >= 0 or _other(end).ended_at >= 0:
        _pass_ended(end, segment, size)
        return False
    path = end.arriving
    flags, seq = segment[0], segment[1]
    if path.watched and size and seq + size > end.counted:
        end.counted = seq + size
        _spoken(end)
    if flags & (SYN | RST):
        return True
    for fault in path.strikes:
        assert isinstance(fault, (Reset, Eof))
        if not fault.after_bytes or seq - 1 + size >= fault.after_bytes:
            _strike_in(end, fault, segment, size)
            return False
    return True


def _spoken(end: End) -> None:
    """New data leaves for `end`: tell whoever waits for data, or for a reply."""
    fabric, opposite = end.stack.fabric, _other(end)
    if opposite.spoken:
        opposite.spoken = False
        fabric.happened("reply", opposite.arriving)
    end.spoken = True
    fabric.happened("send", end.arriving)


def _strike_in(end: End, fault: Reset | Eof, segment: Segment, size: int) -> None:
    """A segment brings the stream to the byte of the fault: what is before it passes, then the fault strikes."""
    flags, seq, ack, edge, data = segment
    path = end.arriving
    take = max(0, min(size, fault.after_bytes - (seq - 1)))
    if take:
        path.forward((flags & ~FIN, seq, ack, edge, data[:take]), take)
    elif not size:  # what ends the handshake: with it the connection is open
        path.forward(segment, 0)
    _act(end, fault, seq + take)
    end.stack.fabric.struck(fault)


def strike(end: End, fault: AnyFault) -> bool:
    """Do now what the fault does to the connection; False: it is not open, or this has been done."""
    assert isinstance(fault, (Reset, Eof)), f"{fault} strikes no connections"
    if end.struck or end.ended_at >= 0 or passed(end) < 0:
        return False
    _act(end, fault, _other(end).socket().sent_next)
    return True


def _act(end: End, fault: Reset | Eof, at: int) -> None:
    """Strike: `at` is the number of the first byte that does not reach `end`."""
    other = _other(end)
    if isinstance(fault, Reset):
        reader = end.socket()
        _reset(end, at)
        _reset(other, 1 if reader is None else reader.sent_next)
    elif rules.one_way(fault.aim):
        _finish(end, at)
    else:
        reader = end.socket()
        _finish(end, at)
        if reader is not None:
            _finish(other, reader.sent_next)
    for path in (end.arriving, other.arriving):
        path.broken = True
        path.settle()


def _reset(end: End, at: int) -> None:
    end.struck = True
    kernel = core.K
    socket = end.socket()
    kernel.recorder.event(kernel.now, Kind.RESET, 0 if socket is None else getattr(socket, "number", 0), 0)
    end.arriving.forward((RST | ACK, at, 0, 0, b""), 0)


# ---- a stream that has ended here, and goes on at its writer


def _finish(end: End, at: int) -> None:
    """The stream to `end` is over with the byte before `at`; nothing happens when its writer has ended it itself."""
    writer = _other(end).socket()
    if writer is None or getattr(writer, "fin_sent", True):
        return
    end.ended_at = at
    end.arriving.forward((ACK | FIN, at, writer.received_next, writer.advertised, b""), 0)


def _pass_ended(end: End, segment: Segment, size: int) -> None:
    """A segment of a connection of which one direction has, or both have, been ended."""
    flags, seq, ack, edge, data = segment
    path, opposite = end.arriving, _other(end)
    if not size and not flags & (FIN | RST | SYN) and end.socket() is None:
        return  # it acknowledges what the middlebox has sent: who is gone does not refuse that
    if opposite.ended_at >= 0 and ack > opposite.ended_at:
        # The FIN that we made is acknowledged: for its writer that is all it has sent.
        writer = end.socket()
        sent = ack - 1 if writer is None else writer.sent_next
        ack, edge = sent, edge + sent - ack
    limit = end.ended_at
    if limit < 0:
        path.forward((flags, seq, ack, edge, data), size)
        return
    if seq < limit:  # sent again
        part = data[: limit - seq]
        last = FIN if seq + len(part) == limit else 0
        path.forward((flags & ~FIN | last, seq, ack, edge, part), len(part))
    else:
        path.forward((flags & ~FIN, limit + 1, ack, edge, b""), 0)
    beyond = seq + size + bool(flags & FIN)
    if beyond > max(seq, limit):
        reader = end.socket()
        closed = opposite.ended_at >= 0 or (reader is not None and getattr(reader, "orphan", True))
        _answer(end, beyond, refuse=closed and seq + size > limit)


def _answer(end: End, upto: int, *, refuse: bool) -> None:
    """Speak for the reader to who writes beyond the end: acknowledge, or refuse."""
    reader, opposite = end.socket(), _other(end)
    if reader is not None and reader.received_next <= end.ended_at:
        return  # something before the end is still missing there: it must be sent again
    seq = opposite.ended_at + 1
    if not seq:
        seq = 1 if reader is None else reader.sent_next
    if refuse:
        opposite.arriving.forward((RST | ACK, seq, upto, 0, b""), 0)
    else:
        opposite.arriving.forward((ACK, seq, upto, upto + _WINDOW, b""), 0)


# ---- events


def full(tcp: Tcp) -> None:
    """A writer can write no more: tell it when every buffer on the way is full, once for each time that they are."""
    closed = tcp.peer_edge <= tcp.sent_next and tcp.sent_next == tcp.acked
    if closed and tcp.no_space and tcp.full_at != tcp.acked:
        tcp.full_at = tcp.acked
        tcp.stack.fabric.happened("full", tcp.path)
