"""Wavetank runs unmodified network programs on a simulated kernel and network, in virtual time, with seeded faults."""

__version__ = "0.1.0.dev0"
