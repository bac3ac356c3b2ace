"""An `OSError` keeps no buffer that was given to the call: its owner may resize it while he has the error."""

# Bodies travel as source to another interpreter: they import inside.

from typing import Any

from tests.unit.kernel_harness import real, simulated
from wavetank.kernel.shims import FACES


def resizes() -> Any:
    import os
    import socket
    from functools import partial

    def kept(call: Any, *rest: Any, wrap: Any = memoryview) -> Any:
        data = bytearray(b"x" * (1 << 20))
        try:
            call(wrap(data), *rest)
        except OSError as problem:
            error = problem  # kept, as a stream keeps the reason of its end
        try:
            data.clear()
        except BufferError:
            return "held"
        return type(error).__name__

    one, other = socket.socketpair()
    _, writer = os.pipe()
    for each in (one, other):
        each.setblocking(False)
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, bytes(65536))
            one.send(bytes(65536))
        except BlockingIOError:
            break
    while True:
        try:
            one.send(bytes(65536))
        except BlockingIOError:
            break
    in_list = lambda data: [memoryview(data)]  # noqa: E731
    found = [
        kept(one.send), kept(one.sendall), kept(one.recv_into), kept(one.recvfrom_into), kept(one.sendto, ""),
        kept(one.recvmsg_into, wrap=in_list), kept(one.sendmsg, wrap=in_list),
        kept(partial(os.write, writer)), kept(partial(os.writev, writer), wrap=in_list),
        kept(partial(os.readv, 10_000_000), wrap=in_list),
    ]  # fmt: skip
    for each in (one, other):
        each.close()
    return found


def test_errors_let_go_of_buffers() -> None:
    found = simulated(resizes, faces=FACES)
    assert "held" not in found, str(found)
    assert found == real(resizes)
