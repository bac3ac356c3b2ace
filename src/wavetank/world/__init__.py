"""One simulated universe: hosts, programs and their director, and the run inside the child.

This package door stays empty: the parent of a run imports only `wavetank.world.job` and `wavetank.world.mailbox`.
"""
