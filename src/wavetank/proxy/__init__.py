"""The fault proxy: a real server on a bad line.

Owns the live twin of the simulated network: the same fault words (`wavetank.faults`), the same plans and the same
trace, between real sockets. Must never import the simulator.

Rooms: `fault_proxy` (the two faces), `core` (listener and connections), `connection`, `pump` (one direction),
`datagrams`, `line` (the faults in force), `shape` (what they do to one direction), `events` (log and trace), `control`
(the HTTP API), `address`, `timers`.
"""

from wavetank.proxy.events import Event as Event
from wavetank.proxy.events import EventLog as EventLog
from wavetank.proxy.fault_proxy import FaultProxy as FaultProxy
