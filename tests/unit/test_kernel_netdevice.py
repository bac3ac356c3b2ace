"""The interfaces of a host: what `ioctl` tells of them, and libraries that ask C code."""

from pathlib import Path
from textwrap import dedent

from tests.support.worlds import run_script, stdout_of


def printed(folder: Path, script: str) -> list[str]:
    result = run_script(folder, dedent(script))
    assert result.failure is None
    return stdout_of(result, "main/script").splitlines()


def test_requests_by_the_name_of_an_interface(tmp_path: Path) -> None:
    script = """
        import fcntl, socket, struct

        ADDRESS, MASK, BROADCAST, FLAGS, MTU, INDEX = 0x8915, 0x891B, 0x8919, 0x8913, 0x8921, 0x8933

        def ask(request, name, form):
            answer = fcntl.ioctl(sock.fileno(), request, struct.pack("256s", name))
            assert len(answer) == 256 and answer[: len(name)] == name
            return struct.unpack_from(form, answer, 16)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for name in (b"lo", b"eth0"):
                addresses = [ask(request, name, "=HH4s") for request in (ADDRESS, MASK, BROADCAST)]
                assert all((family, port) == (socket.AF_INET, 0) for family, port, _ in addresses)
                print(*[socket.inet_ntoa(packed) for _, _, packed in addresses])
                print(hex(*ask(FLAGS, name, "=h")), *ask(MTU, name, "=i"), *ask(INDEX, name, "=i"))
            try:
                ask(ADDRESS, b"wlan0", "=i")
            except OSError as error:
                print(error)
    """
    assert printed(tmp_path, script) == [
        "127.0.0.1 255.0.0.0 0.0.0.0",
        "0x49 65536 1",
        "10.0.0.1 255.255.0.0 10.0.255.255",
        "0x1043 1500 2",
        "[Errno 19] No such device",
    ]


def test_psutil_knows_the_interfaces_of_the_host(tmp_path: Path) -> None:
    script = """
        import psutil, socket, uuid

        for name, known in psutil.net_if_addrs().items():
            print(name, *[f"{each.address}/{each.netmask}" for each in known if each.family != socket.AF_PACKET])
        card = next(each for each in psutil.net_if_addrs()["eth0"] if each.family == socket.AF_PACKET)
        print(int(card.address.replace(":", ""), 16) == uuid.getnode())
        print([(name, found.isup, found.mtu) for name, found in psutil.net_if_stats().items()])
    """
    assert printed(tmp_path, script) == [
        f"lo 127.0.0.1/255.0.0.0 ::1/{':'.join(['ffff'] * 8)}",
        "eth0 10.0.0.1/255.255.0.0 fd00::1/ffff:ffff:ffff:ffff:: fe80::1%eth0/ffff:ffff:ffff:ffff::",
        "True",
        "[('lo', True, 65536), ('eth0', True, 1500)]",
    ]
