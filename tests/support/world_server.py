"""The other side of `tests.support.worlds`: the interpreter in which the worlds are made.

Imports nothing that the simulated kernel must come before.
"""

from __future__ import annotations

import gc
import os
import struct
import sys
from typing import Any

import msgspec

from wavetank.world.job import Target, decode_job, encode

#: A small wrong change to the kernel to run with: see `tests.parity.language.mutating`.
VARIABLE = "WAVETANK_TEST_MUTANT"
SIZE = struct.Struct("<I")


def serve() -> None:
    """Prepare the target that comes first, then carry out each job in a forked child."""
    fork, waitpid, leave, read, write = os.fork, os.waitpid, os._exit, os.read, os.write
    target = msgspec.msgpack.decode(_receive(read) or b"", type=Target)
    sys.path[:0] = target.sys_path
    from wavetank.kernel import shims

    shims.install()
    if VARIABLE in os.environ:
        from tests.parity.language.mutating import exchange_as_told

        exchange_as_told()
    from wavetank.world import runtime

    runtime.prepare(target)
    gc.collect()
    gc.freeze()  # as the image does: otherwise each collection in a run looks at everything that was imported
    while True:
        data = _receive(read)
        if data is None:
            leave(0)
        if pid := fork():
            waitpid(pid, 0)
            continue
        answer = _answer(runtime, data)
        answer = SIZE.pack(len(answer)) + answer
        while answer:
            answer = answer[write(1, answer) :]
        leave(0)


def _receive(read: Any) -> bytes | None:
    head = _exactly(read, SIZE.size)
    return _exactly(read, SIZE.unpack(head)[0]) if head else None


def _exactly(read: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := read(0, size - len(data))):
        data += part
    return data


def _answer(runtime: Any, data: bytes) -> bytes:
    import traceback

    try:
        job = decode_job(data)
        os.chdir(job.cwd)
        return b"+" + encode(runtime.execute(job))
    except BaseException:
        return b"-" + traceback.format_exc().encode()
