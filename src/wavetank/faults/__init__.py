"""The words for what can go wrong: the faults, what they aim at, and the families that switch them on.

Owns the fault words, their validity, their text and their JSON. Must never know how a fault is carried out: that is
the network's and the kernel's.

The idea: a fault is plain frozen data - equal, hashable, readable as one line ("3.20 s: partition client1 | server
for 2 s"), and the same thing in Python, in a plan, on the command line and in a report. The words are `msgspec`
structs tagged by the key `fault`, so that a plan crosses into a run as msgpack without any translation.

Rooms: `target` (what is aimed at, and events), `base` (what all words share), `network` and `machine` (the words),
`words` (all of them, JSON), `families`; `strategies` (for Hypothesis) is imported only by who asks for it.
"""

from wavetank.faults.base import MAX_BYTES as MAX_BYTES
from wavetank.faults.base import MAX_SECONDS as MAX_SECONDS
from wavetank.faults.base import Fault as Fault
from wavetank.faults.families import FAMILIES as FAMILIES
from wavetank.faults.families import MILD as MILD
from wavetank.faults.families import ON_NETWORK as ON_NETWORK
from wavetank.faults.families import Family as Family
from wavetank.faults.families import parse_families as parse_families
from wavetank.faults.machine import ClockJump as ClockJump
from wavetank.faults.machine import ClockSkew as ClockSkew
from wavetank.faults.machine import Crash as Crash
from wavetank.faults.machine import Descriptors as Descriptors
from wavetank.faults.machine import Pause as Pause
from wavetank.faults.machine import Scheduling as Scheduling
from wavetank.faults.network import Bandwidth as Bandwidth
from wavetank.faults.network import Buffers as Buffers
from wavetank.faults.network import Drop as Drop
from wavetank.faults.network import Duplicate as Duplicate
from wavetank.faults.network import Eof as Eof
from wavetank.faults.network import Latency as Latency
from wavetank.faults.network import Loss as Loss
from wavetank.faults.network import NameFailure as NameFailure
from wavetank.faults.network import Partition as Partition
from wavetank.faults.network import Refuse as Refuse
from wavetank.faults.network import Reorder as Reorder
from wavetank.faults.network import Reset as Reset
from wavetank.faults.network import Segments as Segments
from wavetank.faults.network import SlowReader as SlowReader
from wavetank.faults.network import Stall as Stall
from wavetank.faults.network import Truncate as Truncate
from wavetank.faults.target import ACCEPTING as ACCEPTING
from wavetank.faults.target import CONNECTING as CONNECTING
from wavetank.faults.target import EVENTS as EVENTS
from wavetank.faults.target import SIDES as SIDES
from wavetank.faults.target import End as End
from wavetank.faults.target import Event as Event
from wavetank.faults.target import Party as Party
from wavetank.faults.target import Target as Target
from wavetank.faults.target import parse_event as parse_event
from wavetank.faults.target import parse_target as parse_target
from wavetank.faults.words import WORDS as WORDS
from wavetank.faults.words import AnyFault as AnyFault
from wavetank.faults.words import from_json as from_json
from wavetank.faults.words import hosts_of as hosts_of
from wavetank.faults.words import to_json as to_json
