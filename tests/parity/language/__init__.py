"""A small language of socket programs, run on real Linux and in the simulated kernel, and compared.

`program` is what a program is (steps of parties, as text or as data); `machine` runs one, whichever kernel is beneath,
and records what it saw; `sides` are the two interpreters in which machines run; `drawing` makes programs up with
Hypothesis; `counting` says how often each call, option and state came up; `topics` lists what programs must cover.
"""
