"""Everything random in a simulated program, as a function of the run's seed.

Owns the random bytes that the operating system would give (`os.urandom`, `os.getrandom`) and what draws on them:
generators of `random` without a seed of their own, `secrets`, `uuid`, `tempfile`'s names, numpy's `default_rng`; TLS by
way of `kernel.openssl`. Must never ask the real system.

The idea. Each simulated process has streams of its own, SHAKE128 (FIPS 202) over (seed, host, program, pid, purpose),
so that what one process draws moves nothing in another, nor what TLS draws in `random`. Generators that libraries made
while they were imported (`random`'s global functions, Trio's batch order) exist once in the interpreter, but on real
machines each process has its own copy: their state is exchanged when another process takes over. That state is a plain
array in the C object (Modules/_randommodule.c, `RandomObject`), and exchanging it costs less than a system call;
`random.random()` itself is untouched.

During the image phase the seed is a constant; `begin` sets the run's own. Out of reach: generators that C libraries
keep for themselves (`cryptography`'s OpenSSL, SQLite's `random()`), reading `/dev/urandom` as a file, and numpy
generators that were made without a seed while modules were imported (the same numbers in every run).
"""

from __future__ import annotations

import _random
import ctypes
import hashlib
import operator
import os
import random
import struct
import sys
import weakref
from types import ModuleType
from typing import Any, Final

from wavetank.errors import KernelError
from wavetank.kernel import core, process
from wavetank.kernel.process import Process
from wavetank.kernel.replace import replace_calls, when_imported

#: Bytes made at a time: one block serves some sixty-four UUIDs.
_BLOCK_BYTES: Final = 1024
#: Mersenne Twister (Matsumoto and Nishimura, 1998): position and 624 words.
_TWISTER: Final = struct.Struct("=i624I")
_WORDS: Final = 624
#: What an unseeded generator is seeded with. CPython takes 2496 bytes; no program can tell.
_SEED_BYTES: Final = 32
#: getrandom(2): more is never returned by one call.
_LONGEST_GETRANDOM: Final = 33_554_431
_GRND_FLAGS: Final = 0x0007  # GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE, include/uapi/linux/random.h

_real_urandom = os.urandom
_real_getrandom = os.getrandom
_real_seed = random.Random.seed


def _key(*names: object) -> bytes:
    return hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=32).digest()


class Stream:
    """Random bytes for one purpose of one process."""

    __slots__ = ("_block", "_count", "_key", "_names", "_offset")

    def __init__(self, *names: object) -> None:
        self._names = names
        self._key = b""  # made when it is needed: most streams never are
        self._count = 0
        self._block = b""
        self._offset = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        offset = self._offset
        end = offset + size
        data = self._block[offset:end]
        if len(data) == size:
            self._offset = end
            return data
        if size > _BLOCK_BYTES // 2:
            return self._make(size)
        self._block = self._make(_BLOCK_BYTES)
        self._offset = size
        return self._block[:size]

    def _make(self, size: int) -> bytes:
        self._count += 1
        if self._count == 1:
            self._key = _key(*self._names)
        return hashlib.shake_128(self._key + self._count.to_bytes(8, "little")).digest(size)


def _first_words(stream: Stream) -> memoryview:
    """The state of a generator seeded from `stream`, before its first draw."""
    return memoryview(bytearray(_WORDS.to_bytes(4, sys.byteorder) + stream.take(4 * _WORDS)))


class Entropy:
    """What one process draws from."""

    __slots__ = ("gauss_next", "generators", "last_uuid_time", "system", "tls")

    def __init__(self, names: tuple[object, ...], shared: int) -> None:
        self.system = Stream(*names, "system")
        self.tls = Stream(*names, "tls")
        self.last_uuid_time: int | None = None
        #: State of the shared generators while another process runs.
        self.generators = [_first_words(Stream(*names, "generator", number)) for number in range(shared)]
        self.gauss_next: list[float | None] = [None] * shared


def of(owner: Process) -> Entropy:
    """What `owner` draws from; made when it is first asked for."""
    own: Entropy | None = owner.entropy
    if own is None:
        own = owner.entropy = Entropy((_state.key.hex(), owner.host_name, owner.name, owner.pid), len(_state.shared))
    return own


# ---- generators of the module `random`


class _State:
    """What follows from the seed in force, and the generators that all processes share."""

    def __init__(self) -> None:
        self.key = _key("image")
        self.in_image = True
        self.unseeded: list[weakref.ref[random.Random]] = []
        self.shared: list[tuple[random.Random, memoryview]] = []
        self.current: Entropy | None = None


_state = _State()


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """`random.Random.seed`: without an argument, from the process's own bytes."""
    if _state.in_image:
        _state.unseeded = [known for known in _state.unseeded if known() is not None and known() is not self]
        if a is None:
            _state.unseeded.append(weakref.ref(self))
    if a is None:
        a = int.from_bytes(of(core.K.process).system.take(_SEED_BYTES), "little")
    _real_seed(self, a, version)


def _words_of(generator: random.Random) -> memoryview:
    """The state of a generator, in place."""
    words = (ctypes.c_ubyte * _TWISTER.size).from_address(id(generator) + object.__basicsize__)
    return memoryview(words).cast("B")


def _check_layout(generator: random.Random) -> None:
    *state, position = _random.Random.getstate(generator)
    room = _random.Random.__basicsize__ - object.__basicsize__
    if room < _TWISTER.size or _TWISTER.unpack(_words_of(generator)) != (position, *state):
        raise KernelError("the state of random.Random is not where it is in CPython 3.11 to 3.13")


def _takes_over(new: Process) -> None:
    """Another process runs from now on: exchange the state of the shared generators."""
    own, old = of(new), _state.current
    if own is old:
        return
    _state.current = own
    for number, (generator, words) in enumerate(_state.shared):
        if old is not None:
            old.generators[number][:] = words
            old.gauss_next[number] = generator.gauss_next  # type: ignore[attr-defined]
        words[:] = own.generators[number]
        generator.gauss_next = own.gauss_next[number]  # type: ignore[attr-defined]


def _install_random() -> None:
    _seed.__name__, _seed.__qualname__ = "seed", "Random.seed"
    random.Random.seed = _seed  # type: ignore[method-assign]
    instance: random.Random = random._inst
    _check_layout(instance)
    random.seed = instance.seed
    random._urandom = os.urandom  # type: ignore[attr-defined]
    instance.seed()


# ---- the system's own calls


class _Calls:
    """What `os` offers."""

    __slots__ = ()

    def urandom(self, size: int, /) -> bytes:
        """`size` random bytes."""
        if size.__class__ is not int or size < 0:
            size = operator.index(size)
            if size < 0:
                return _real_urandom(size)  # which refuses it
        kernel = core.K
        kernel.tick()
        return of(kernel.process).system.take(size)

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        """`getrandom(2)`, which never waits: the pool is full once a machine has booted."""
        size, flags = operator.index(size), operator.index(flags)
        if size < 0 or flags & ~_GRND_FLAGS:
            return _real_getrandom(size, flags)  # which refuses it
        core.K.tick()
        return of(core.K.process).system.take(min(size, _LONGEST_GETRANDOM))


# ---- uuid


def hardware_address(host_name: str) -> int:
    """That of a host's network card: 48 bits."""
    address = int.from_bytes(hashlib.blake2b(host_name.encode(), digest_size=6).digest(), "big")
    return address & ~(0x03 << 40) | (0x02 << 40)


class _Uuid:
    """`getnode` and `uuid1`, for the module that they belong to."""

    __slots__ = ("_module", "_real_uuid1")

    def __init__(self, module: Any) -> None:
        self._module = module
        self._real_uuid1 = module.uuid1

    def getnode(self) -> int:
        """The host's hardware address: fixed for its name, locally administered (IEEE 802)."""
        return hardware_address(core.K.process.host_name)

    def uuid1(self, node: int | None = None, clock_seq: int | None = None) -> Any:
        """As the Python code of the module makes it, from the host's wall clock, address and `random`."""
        own = of(core.K.process)
        if self._module._last_timestamp is not None:  # None: nobody has asked yet, or somebody wants it forgotten
            self._module._last_timestamp = own.last_uuid_time
        try:
            return self._real_uuid1(node, clock_seq)
        finally:
            own.last_uuid_time = self._module._last_timestamp


def _patch_uuid(module: ModuleType) -> None:
    for name in ("_generate_time_safe", "_UuidCreate"):  # libuuid, which asks the real system
        setattr(module, name, None)
    replace_calls(_Uuid(module), module)


# ---- numpy


class _Numpy:
    """numpy's old global generator (`numpy.random.random()`), seeded while numpy was imported."""

    __slots__ = ("_imported_with", "_module")

    def __init__(self, module: Any) -> None:
        self._module = module
        self._imported_with = self._position()

    def _position(self) -> bytes:
        return bytes(self._module._rand.get_state()[1].tobytes())

    def begin(self) -> None:
        """Give it the run's seed, unless somebody has given it another one meanwhile."""
        if self._position() == self._imported_with:
            self._module._rand.seed(int.from_bytes(Stream(_state.key.hex(), "numpy").take(4), "little"))


_numpy: list[_Numpy] = []


# ---- beginning


def begin(seed: int) -> None:
    """From now on everything random follows from `seed`. Called in the child, before its world starts."""
    _state.in_image = False
    _state.key = _key("seed", seed)  # of one size for every seed
    alive = [generator for known in _state.unseeded if (generator := known()) is not None]
    _state.shared = [(generator, _words_of(generator)) for generator in alive]
    _state.current = None
    for numpy in _numpy:
        numpy.begin()
    if core.K.process is not None:
        core.K.process.entropy = None
        _takes_over(core.K.process)


def install() -> None:
    """Replace what is random in the interpreter, now and in modules that are imported later."""
    import posix

    from wavetank.kernel import openssl  # which draws from here

    replace_calls(_Calls(), os, posix)
    process.takes_over.append(_takes_over)
    _install_random()
    when_imported("uuid", _patch_uuid)
    openssl.install()
    when_imported("numpy.random.mtrand", lambda module: _numpy.append(_Numpy(module)))
