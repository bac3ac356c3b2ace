"""Doubles: in-memory stand-ins for transports, protocols, reactors and processes.

`aio` speaks asyncio's dialect, `tx` Twisted's; both have the same names. `wire` is what they share: it joins two
protocols, of either dialect, in memory. This package owns no code itself and imports none of the three, so that
`wavetank.doubles.aio` never brings in Twisted.
"""
