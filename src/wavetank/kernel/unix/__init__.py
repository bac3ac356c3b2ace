"""UNIX domain sockets as programs on Linux see them: endpoint (states and face), stream, datagram, names, rights.

Everything happens inside the system call that causes it, as in net/unix/af_unix.c: there is no network between the two
ends, so no fault delays them. A name in the file system is a real inode; who listens there is known to the host alone.
"""

from __future__ import annotations

from wavetank.kernel.unix.endpoint import Unix, unix_pair

__all__ = ["Unix", "unix_pair"]
