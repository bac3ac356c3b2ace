"""The class of sockets as programs derive their own from it, and what it refuses."""

import pytest

from tests.support.twins import FACES, as_on_linux
from tests.unit.kernel_harness import simulated


def test_a_derived_class_may_have_names_of_its_own() -> None:
    def body():
        import socket

        names = ("family", "fd", "process", "timeout", "type", "file", "start", "wait", "deadline", "connect")

        class Mine(socket.socket):
            """As PySocks does: what it keeps and calls has names that anybody would choose."""

            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                for name in names:
                    setattr(self, f"_{name}", f"my {name}")

        listener = socket.create_server(("127.0.0.1", 0))
        mine = Mine()
        mine.settimeout(5)
        mine.connect(listener.getsockname())
        other, _ = listener.accept()
        mine.sendall(b"hello")
        other.sendall(b"there")
        said = mine.recv(5), other.recv(5), mine.gettimeout(), mine.family, mine.type
        mine.shutdown(socket.SHUT_WR)
        end = other.recv(5)
        for each in (mine, other, listener):
            each.close()
        return [*said, end, mine.fileno(), [getattr(mine, f"_{name}") for name in names]]

    as_on_linux(body)


def test_the_class_has_no_name_that_linux_has_not() -> None:
    def body():
        import _socket

        names = {name for name in dir(_socket.socket) if not name.startswith(("__", "_sim_"))}
        return sorted(names - {"sendmsg_afalg"})  # for sockets of AF_ALG, of which there are none

    as_on_linux(body)


@pytest.mark.parametrize(
    ("family", "kind", "call", "number"),
    [(2, 3, "socket.SOCK_RAW", 1), (16, 3, "socket.AF_NETLINK", 97), (17, 3, "socket.AF_PACKET", 97)],
)
def test_what_cannot_be_allowed_is_not_offered(family: int, kind: int, call: str, number: int) -> None:
    def body(family, kind):
        import socket

        from wavetank.kernel import refusals

        try:
            socket.socket(family, kind)
        except OSError as error:
            return error.errno, str(error), refusals.refused
        return None

    errno, text, refused = simulated(body, family, kind, faces=FACES)
    assert errno == number
    assert text.startswith(f"{call} is not simulated\n  where: alpha/")
    assert "next: no --allow lets it through: do without the call" in text
    assert refused == {call: 1}
