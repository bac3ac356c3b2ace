"""OpenSSL beneath `ssl`: its random bytes from the seed, its clock from virtual time."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import simulated

FACES = ("time", "entropy")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


def test_tls_does_not_move_what_the_program_draws() -> None:
    def body(with_tls):
        import os
        import ssl

        if with_tls:
            ssl.RAND_bytes(100)
        return os.urandom(8), ssl.RAND_status(), ssl.RAND_add(b"noise", 1.0)

    assert run(body, True) == run(body, False)


def test_a_tls_handshake_repeats_byte_for_byte_and_keeps_no_memory() -> None:
    def body():
        import contextlib
        import ssl
        import tracemalloc

        def context(protocol):
            made = ssl.SSLContext(protocol)
            if protocol is ssl.PROTOCOL_TLS_CLIENT:
                made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            made.maximum_version = ssl.TLSVersion.TLSv1_2
            made.set_ciphers("AECDH-AES256-SHA@SECLEVEL=0")  # anonymous: needs no certificate
            return made

        def exchange():
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            sides = [
                context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing),
                context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(outgoing, incoming, server_side=True),
            ]
            wire = []
            for turn in range(6):
                with contextlib.suppress(ssl.SSLWantReadError):
                    sides[turn % 2].do_handshake()
                for bio in (incoming, outgoing):
                    data = bio.read()
                    bio.write(data)
                    wire.append(data)
            sides[0].write(b"hello")
            return b"".join(wire) + outgoing.read()

        first = exchange()
        exchange()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            exchange()
        return first, tracemalloc.get_traced_memory()[0] - before

    (wire, kept), (again, _) = run(body), run(body)
    assert len(wire) > 500
    assert wire == again != run(body, seed=2)[0]
    assert kept < 8_000


def test_the_clock_of_openssl_is_the_wall_clock_of_the_host() -> None:
    def body():
        import _ssl
        import ctypes
        import ssl

        from wavetank.kernel import openssl
        from wavetank.kernel.clock import HostClock

        library = ctypes.CDLL(_ssl.__file__)
        library.SSL_SESSION_new.restype = ctypes.c_void_p
        library.SSL_SESSION_get_time.argtypes = (ctypes.c_void_p,)
        library.SSL_SESSION_get_time.restype = ctypes.c_long

        def made_at():
            return library.SSL_SESSION_get_time(library.SSL_SESSION_new())

        first = made_at()
        core.K.park("an hour", core.K.now + 3_600_000_000_000)
        second = made_at()
        core.K.process.stack.clock = HostClock(offset_ns=-10_000_000_000_000)
        return openssl.reached, first, second - first, made_at() - second, ssl.OPENSSL_VERSION_INFO[0] >= 1

    assert run(body) == (True, 1_700_000_000, 3_600, -10_000, True)


def test_both_calls_for_the_time_answer_as_those_of_the_c_library() -> None:
    def body():
        import ctypes

        from wavetank.kernel import openssl

        seconds = ctypes.c_int64()
        moment = (ctypes.c_int64 * 2)()
        time, gettimeofday = openssl._clocks[b"time"], openssl._clocks[b"gettimeofday"]
        core.K.park("half a second", core.K.now + 1_500_000_000)
        return (
            time(None), time(ctypes.addressof(seconds)), seconds.value,
            gettimeofday(None, None), gettimeofday(ctypes.addressof(moment), None), list(moment),
        )  # fmt: skip

    assert run(body) == (1_700_000_001, 1_700_000_001, 1_700_000_001, 0, 0, [1_700_000_001, 500_000])
