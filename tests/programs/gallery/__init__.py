"""The gallery: one module a program, real libraries unmodified, client and server on two simulated hosts.

Each module has a docstring whose first line says what talks to what, `LIBRARIES` (distributions whose versions the
table shows; empty for the standard library alone), optionally `OPAQUE` (why the payload of its connections cannot
repeat), and `scenario(world)`: at least 100 KiB each way where the protocol carries data, one error path, an orderly
close.
"""
