"""asyncio's transports under watch: sockets, datagrams, pipes, TLS, child processes. See `watching`.

Owns which private names of asyncio hold a protocol, and which methods of its transports a protocol calls. Source:
CPython Lib/asyncio/selector_events.py, unix_events.py, sslproto.py, base_subprocess.py, 3.11 to 3.13.
"""

from __future__ import annotations

from asyncio import base_subprocess, selector_events, sslproto, unix_events
from typing import Any, Final

from wavetank.frameworks.watching import Kept, bare, of_attribute, tell, watched

_PROFILE: Final = "cpython"
_SAYS: Final = ("write", "writelines", "write_eof", "close", "abort", "pause_reading", "resume_reading", "sendto")
# By name: they are private, and typeshed does not have them all.
_OWNERS: Final[tuple[Any, ...]] = (
    getattr(selector_events, "_SelectorTransport"),  # noqa: B009
    getattr(unix_events, "_UnixReadPipeTransport"),  # noqa: B009
    getattr(unix_events, "_UnixWritePipeTransport"),  # noqa: B009
    base_subprocess.BaseSubprocessTransport,  # for suites on the real system: a world has none
)
_SPEAKERS: Final[tuple[Any, ...]] = (
    getattr(selector_events, "_SelectorSocketTransport"),  # noqa: B009
    getattr(selector_events, "_SelectorDatagramTransport"),  # noqa: B009
    *_OWNERS[1:3],
)


def install() -> None:
    """From now on every protocol that a transport of this interpreter gets is watched."""
    for owner in _OWNERS:
        Kept(owner, "_protocol", _PROFILE, _never_joins)
        owner.get_protocol = _get_protocol
    for owner in _SPEAKERS:
        for name in _SAYS:
            tell(owner, name, of_attribute("_protocol"))
    _watch_tls(sslproto.SSLProtocol)
    transport: Any = sslproto._SSLProtocolTransport
    transport.get_protocol = _get_protocol_over_tls
    for name in _SAYS:
        tell(transport, name, _protocol_over_tls)


def _never_joins(transport: Any, protocol: Any) -> bool:
    return False


def _get_protocol(self: Any) -> Any:
    return bare(self._protocol)


def _protocol_over_tls(transport: Any) -> Any:
    return getattr(transport._ssl_protocol, "_app_protocol", None)


def _get_protocol_over_tls(self: Any) -> Any:
    return bare(self._ssl_protocol._app_protocol)


def _watch_tls(owner: Any) -> None:
    """What speaks TLS for another protocol; that one may have been connected before TLS began (`start_tls`)."""
    set_original, init_original = owner._set_app_protocol, owner.__init__

    def set_app_protocol(self: Any, protocol: Any) -> None:
        before = getattr(self, "_app_protocol", None)
        joined = self.__dict__.get("_joined", False)
        set_original(self, watched(bare(protocol), _PROFILE, self, before, joined=joined))

    def init(self: Any, loop: Any, *args: Any, call_connection_made: bool = True, **keywords: Any) -> None:
        self._loop, self._joined = loop, not call_connection_made  # the loop, for those who ask whose this is
        init_original(self, loop, *args, call_connection_made=call_connection_made, **keywords)

    owner._set_app_protocol, owner.__init__ = set_app_protocol, init
