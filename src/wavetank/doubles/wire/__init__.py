"""The shared core of the doubles: joins two protocols in memory, whatever dialect each of them speaks.

Owns the bytes on their way (how they are cut and joined, held, lost), the state of both ends, the order in which
things happen, and the log of it. Must never import asyncio or Twisted, nor call a protocol by its dialect's names: what
a callback or a reason is called belongs to `wavetank.doubles.aio` and `wavetank.doubles.tx`.

The idea: `Connection` has two `End`s and two `Way`s, one for each direction. Nothing happens inside a call of a
protocol except what real transports do there (`pause_writing`); everything else happens in a *round*: what was due by
then is called, then each way carries what was on it. A driver (an event loop, a clock) makes rounds; without one,
`pump()` and `flush()` do. Source of the behaviour: CPython's asyncio/selector_events.py, Twisted's internet/abstract.py
and internet/tcp.py, and tcp(7).
"""
