"""The contract between a protocol and its transport: interfaces, call orders as data, profiles, monitor.

Owns the public names of the room. It must never import Twisted, nor a loop other than the standard library's.
"""

from wavetank.contract import faces_aio as faces_aio  # for the faces that it adds
from wavetank.contract import faces_tx as faces_tx  # the same
from wavetank.contract.kinds import KINDS, Kind, kind_of
from wavetank.contract.lifecycle import Machine
from wavetank.contract.monitor import Monitor
from wavetank.contract.profiles import DIFFERENCES, PROFILES, Allowance, Difference, Profile
from wavetank.contract.protocols import (
    BaseProtocol,
    BufferedProtocol,
    DatagramProtocol,
    Protocol,
    SubprocessProtocol,
    datagram_error,
)
from wavetank.contract.rules import RULES, Rule
from wavetank.contract.watch import Call, Watch
from wavetank.errors import ContractViolation

__all__ = [
    "DIFFERENCES",
    "KINDS",
    "PROFILES",
    "RULES",
    "Allowance",
    "BaseProtocol",
    "BufferedProtocol",
    "Call",
    "ContractViolation",
    "DatagramProtocol",
    "Difference",
    "Kind",
    "Machine",
    "Monitor",
    "Profile",
    "Protocol",
    "Rule",
    "SubprocessProtocol",
    "Watch",
    "datagram_error",
    "kind_of",
]
