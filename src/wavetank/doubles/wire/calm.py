"""The short way: two protocols answer each other, each write arrives as it is, and nothing goes wrong.

Owns one loop, written for speed: it is what most tests do most of the time, and its cost per chunk is compared with
Twisted's doubles in `bench`. It must do nothing that the rounds of `connection` would not do in the same order; it is
left as soon as anything else is to be done (`Way.flowing`). Only here and in `Way.carry` are
protocols called by their dialect's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wavetank.doubles.wire.way import TWISTED

if TYPE_CHECKING:
    from wavetank.doubles.wire.connection import Connection

#: So many rounds between two looks at the length of the log.
_STRIDE: Final = 1000


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
    done = 0
    for done in range(rounds):
        if one_queue:
            if not one.flowing:
                return done
            if one.size <= one.short and len(one_queue) == 1:
                piece = one_queue.pop()
                raw.append(one_got)
                raw.append(piece)
                one.delivered += one.size
                one.size = 0
                try:
                    if second_twisted:
                        second.target.dataReceived(piece)
                    else:
                        second.target.data_received(piece)
                except Exception as error:
                    second.failed(error, second.word)
                    return done
                if first.attentive:
                    first.taken()
            else:
                one.carry()
        elif not (two_queue and one.flowing):
            return done
        if two_queue:
            if not two.flowing:
                return done
            if two.size <= two.short and len(two_queue) == 1:
                piece = two_queue.pop()
                raw.append(two_got)
                raw.append(piece)
                two.delivered += two.size
                two.size = 0
                try:
                    if first_twisted:
                        first.target.dataReceived(piece)
                    else:
                        first.target.data_received(piece)
                except Exception as error:
                    first.failed(error, first.word)
                    return done
                if second.attentive:
                    second.taken()
            else:
                two.carry()
    return rounds
