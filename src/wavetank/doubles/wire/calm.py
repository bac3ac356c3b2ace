"""The short way: two protocols answer each other, each write arrives as it is, and nothing goes wrong.

Owns one loop, written for speed: it is what most tests do most of the time, and its cost per chunk is compared with
Twisted's doubles in `bench`. It must do nothing that the rounds of `connection` would not do in the same order; it is
left as soon as anything else is to be done (`Way.flowing`). Only here and in `Way.carry` are
protocols called by their dialect's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wavetank.doubles.wire.log import KEPT_BYTES
from wavetank.doubles.wire.way import TWISTED

if TYPE_CHECKING:
    from wavetank.doubles.wire.connection import Connection

#: So many rounds between two looks at the length of the log.
_STRIDE: Final = 1000
#: Longer pieces take the other way: they may be longer than is read at once, and are heavy in the log.
_SHORT: Final = KEPT_BYTES


def exchange(connection: Connection, rounds: int) -> int:
    """Make rounds while both ways flow and the connection's own callers make them; returns how many are left."""
    if connection.driver is not None:
        return rounds
    connection._inside = True
    try:
        while rounds > 0:
            done = _some(connection, min(rounds, _STRIDE))
            rounds -= done
            connection.log.trim()
            if done < _STRIDE:
                break
    finally:
        connection._inside = False
    return rounds


def _some(connection: Connection, rounds: int) -> int:
    """At most so many rounds; returns how many there were."""
    one, two = connection.ways
    raw = connection.log.raw
    one_queue, two_queue, one_got, two_got = one.queue, two.queue, one.got, two.got
    first, second = connection.ends
    first_twisted, second_twisted = first.word == TWISTED, second.word == TWISTED
    end = first
    done = 0
    try:
        for done in range(rounds):
            if one_queue:
                if not one.flowing:
                    return done
                piece = one_queue.pop()
                size = len(piece)
                if one_queue or size > _SHORT:
                    one_queue.append(piece)
                    one.carry()
                else:
                    raw.append(one_got)
                    raw.append(piece)
                    one.size = 0
                    one.delivered += size
                    end = second
                    if second_twisted:
                        second.target.dataReceived(piece)
                    else:
                        second.target.data_received(piece)
                    if first.attentive:
                        first.taken()
            elif not (two_queue and one.flowing):
                return done
            if two_queue:
                if not two.flowing:
                    return done
                piece = two_queue.pop()
                size = len(piece)
                if two_queue or size > _SHORT:
                    two_queue.append(piece)
                    two.carry()
                else:
                    raw.append(two_got)
                    raw.append(piece)
                    two.size = 0
                    two.delivered += size
                    end = first
                    if first_twisted:
                        first.target.dataReceived(piece)
                    else:
                        first.target.data_received(piece)
                    if second.attentive:
                        second.taken()
    except Exception as error:
        end.failed(error, end.word)
        return done
    return rounds
