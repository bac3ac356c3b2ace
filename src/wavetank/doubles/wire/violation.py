"""The error that strict doubles raise.

Owns its making, and no rule: those are `wavetank.contract`'s.
"""

from __future__ import annotations

from wavetank.contract.rules import RULES
from wavetank.doubles.wire.log import Log
from wavetank.errors import ContractViolation


def violation(rule: str, log: Log) -> ContractViolation:
    """The error for a broken rule of `wavetank.contract`, with the log up to the call that broke it."""
    found = RULES[rule]
    return ContractViolation(rule, found.source, tuple(log), what=f"{found.says}: the {found.breaker} broke that")
