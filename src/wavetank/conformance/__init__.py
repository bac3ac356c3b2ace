"""Transport conformance on the real-loop ground: whether a loop, a reactor or a transport keeps the contract.

Owns the public names of the room. It must never import Twisted, Trio or uvloop before a target asks for them.
"""

from wavetank.conformance.abort import (
    SCENARIOS,
    AbortingThenClosingClient,
    AbortingThenClosingServer,
    AbortingThenThrowingClient,
    AbortingTwiceClient,
    AbortingTwiceServer,
    DataAbortingClient,
    EventualNoReadServer,
    HelloClient,
    NoReadServer,
    PassiveServer,
    PauseAbortingClient,
    ProducerAbortingClient,
    ProducerAbortingClientLater,
    ProducerThrowingClient,
    ReadyServer,
    Scenario,
    StreamingProducerClient,
    StreamingProducerClientLater,
)
from wavetank.conformance.pairs import Ending, Happening, PairHangs, run_protocols
from wavetank.conformance.protocols import ConnectableProtocol
from wavetank.conformance.suites import suite

__all__ = [
    "SCENARIOS",
    "AbortingThenClosingClient",
    "AbortingThenClosingServer",
    "AbortingThenThrowingClient",
    "AbortingTwiceClient",
    "AbortingTwiceServer",
    "ConnectableProtocol",
    "DataAbortingClient",
    "Ending",
    "EventualNoReadServer",
    "Happening",
    "HelloClient",
    "NoReadServer",
    "PairHangs",
    "PassiveServer",
    "PauseAbortingClient",
    "ProducerAbortingClient",
    "ProducerAbortingClientLater",
    "ProducerThrowingClient",
    "ReadyServer",
    "Scenario",
    "StreamingProducerClient",
    "StreamingProducerClientLater",
    "run_protocols",
    "suite",
]
