"""The cases of UNIX sockets, TLS, sendfile and buffered protocols.

Owns nothing but data; see `case` for what a record is, `engine` for the words of scripts.
"""

from __future__ import annotations

from typing import Final

from wavetank.conformance.case import Case

_TLS: Final = "asyncio Transports and Protocols, over TLS"
_START_TLS: Final = "asyncio Event Loop, loop.start_tls"
_SENDFILE: Final = "asyncio Event Loop, loop.sendfile"
_BUFFERED: Final = "asyncio Protocols, Buffered Streaming Protocols"
_CONNECT: Final = "asyncio Event Loop, loop.create_connection"
_OPEN: Final = "left open by the documentation; told for comparison"

CASES: Final[tuple[Case, ...]] = (
    Case("unix-exchange", "unix", """
        on server data: server write 6
        connect unix
        client write 5
        wait client data 6
        client close
        wait client lost
        wait server lost
        """, {"client": "made, data 6, lost clean", "server": "made, data 5, eof, lost clean"}, "unix(7)"),
    Case("unix-big", "unix", """
        connect unix
        client write 4M
        client close
        wait server lost
        """, {"server": "made, data all, eof, lost clean"}, "unix(7)"),
    Case("unix-half-close", "unix", """
        on server eof: server keep
        connect unix
        client write_eof
        wait server eof
        server write 5
        server close
        wait client lost
        """, {"client": "made, data 5, eof, lost clean"}, "asyncio Transports, write_eof"),
    Case("unix-abort", "unix", """
        connect unix
        client abort
        wait client lost
        wait server lost
        """, {"client": "made, lost clean|lost aborted", "server": "made, eof?, lost *"}, "asyncio Transports, abort"),
    Case("socketpair-exchange", "", """
        on server data: server write 6
        connect pair
        client write 5
        wait client data 6
        client close
        wait server lost
        """, {"client": "made, data 6, lost clean", "server": "made, data 5, eof, lost clean"}, _CONNECT),

    # --- TLS ----------------------------------------------------------------------------------------------------
    Case("tls-exchange", "tls", """
        on server data: server write 6
        connect tls
        client write 5
        wait client data 6
        client close
        wait client lost
        wait server lost
        """, {"client": "made, data 6, eof?, lost clean", "server": "made, data 5, eof?, lost clean"}, _TLS),
    Case("tls-big", "tls", """
        connect tls
        client write 4M
        wait server data all
        """, {"server": "made, data all"}, _TLS),
    Case("tls-big-both-ways", "tls", """
        connect tls
        client write 2M
        server write 2M
        wait server data all
        wait client data all
        """, {"server": "made, data all", "client": "made, data all"}, _TLS),
    Case("tls-write-then-close-flushes", "tls", """
        connect tls
        client write 1M
        client close
        wait server lost
        wait client lost
        """, {"server": "made, data all, eof?, lost clean"}, _TLS),
    Case("tls-abort", "tls", """
        connect tls
        client abort
        wait client lost
        wait server lost
        """, {"client": "made, lost clean|lost aborted", "server": "made, eof?, lost *"}, _TLS,
        twisted={"client": "made, lost *"}),
    Case("tls-close-twice", "tls", """
        connect tls
        client close
        client close
        wait client lost
        wait server lost
        """, {"client": "made, eof?, lost clean", "server": "made, eof?, lost clean"}, _TLS),
    Case("tls-close-twice-then-ask", "tls", """
        connect tls
        client close
        client close
        client ask extra peername
        client write 5
        settle
        """, {"client": "made, extra peername there|extra peername missing, *"}, "asyncio Transports, get_extra_info"),
    Case("tls-pause-reading", "tls", """
        connect tls
        client pause_reading
        server write 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, "asyncio Transports, pause_reading"),
    Case("tls-no-write-eof", "asyncio tls", """
        connect tls
        client ask can_write_eof
        client write_eof
        """, {"client": "made, can_write_eof False, write_eof raises NotImplementedError"},
        'asyncio Transports, can_write_eof: "Return True if the transport supports write_eof(), False if not"'),
    Case("tls-extra-info", "asyncio tls", """
        connect tls
        client ask extra sslcontext
        client ask extra ssl_object
        client ask extra cipher
        client ask extra peercert
        client ask extra peername
        """, {"client": "made, extra sslcontext there, extra ssl_object there, extra cipher there,"
              " extra peercert there, extra peername there"}, "asyncio Transports, get_extra_info"),
    Case("tls-truncated", "tls", """
        connect tls-raw-server
        raw send 5
        wait client data 5
        raw shutdown
        wait client lost
        """, {"client": "made, data 5, eof?, lost *"}, _OPEN,
        usual={"client": "made, data 5, eof?, lost reset|lost SSL*|lost Error"}),
    Case("tls-closed-in-order", "tls", """
        connect tls-raw-server
        raw send 5
        wait client data 5
        raw close_notify
        wait client lost
        """, {"client": "made, data 5, eof?, lost clean"}, _TLS),
    Case("tls-garbage", "tls", """
        connect tls-raw-server
        raw garbage 100
        wait client lost
        """, {"client": "made, eof?, lost SSLError", "loop": "reports SSLError?"}, _TLS,
        twisted={"client": "made, eof?, lost Error"}),
    Case("tls-reset", "tls", """
        connect tls-raw-server
        raw reset
        wait client lost
        """, {"client": "made, lost reset"}, _TLS),
    Case("tls-data-raises", "tls", """
        on client data: client raise ZeroDivisionError
        connect tls
        server write 5
        settle
        """, {"client": "made, data 5, lost ZeroDivisionError", "loop": "reports ZeroDivisionError"},
        "asyncio/sslproto.py, _fatal_error",
        twisted={"client": "made, data 5, lost *"}),
    Case("tls-no-pause-when-all-is-sent-at-zero", "asyncio tls flow", """
        connect tls
        client set_limits high=0
        client write 5
        wait server data 5
        settle
        """, {"client": "made or made, paused, resumed"}, "asyncio Transports, set_write_buffer_limits: zero"),
    Case("tls-pause-and-resume-writing", "tls flow", """
        connect tls
        server pause_reading
        client write times 100x320000
        settle
        server resume_reading
        wait server data all
        wait client resumed
        settle
        """, {"client": "made, paused, *", "server": "made, data all"}, "asyncio/protocols.py, pause_writing"),
    Case("tls-wrong-name", "tls", """
        listening listen tls
        client dial_wrong_name
        """, {"client": "dial_wrong_name raises SSLCertVerificationError"}, "ssl, check_hostname",
        twisted={"client": "made, lost VerificationError|lost Error"}),
    Case("tls-handshake-timeout", "asyncio tls", """
        client dial_slowly
        """, {"client": "dial_slowly raises ConnectionAbortedError|dial_slowly raises TimeoutError"},
        "asyncio Event Loop, create_connection: ssl_handshake_timeout"),
    Case("start-tls", "tls", """
        connect
        both start_tls
        client write 5
        wait server data 5
        server write 6
        wait client data 6
        client close
        wait client lost
        wait server lost
        """, {"client": "made, secured, data 6, eof?, lost clean", "server": "made, secured, data 5, eof?, lost clean"},
        _START_TLS),
    Case("start-tls-after-data", "tls", """
        connect
        client write 3
        wait server data 3
        both start_tls
        client write 5
        wait server data 8
        """, {"server": "made, data 3, secured, data 5"}, _START_TLS),

    # --- sendfile -----------------------------------------------------------------------------------------------
    Case("sendfile", "", """
        connect
        client sendfile 1M
        wait server data all
        """, {"client": "made, sendfile all", "server": "made, data all"}, _SENDFILE),
    Case("sendfile-of-a-part", "asyncio", """
        connect
        client sendfile 100000 from=1000 count=5000
        wait server data 5000
        """, {"client": "made, sendfile all", "server": "made, data 5000"}, _SENDFILE),
    Case("sendfile-of-nothing", "", """
        connect
        client sendfile 0
        client write 5
        wait server data 5
        """, {"client": "made, sendfile all", "server": "made, data 5"}, _SENDFILE),
    Case("sendfile-after-writes", "", """
        connect
        client write 300000
        client sendfile 300000
        client write 5
        wait server data all
        """, {"client": "made, sendfile all", "server": "made, data all"}, _SENDFILE),
    Case("sendfile-over-tls", "tls", """
        connect tls
        client sendfile 300000
        wait server data all
        """, {"client": "made, sendfile all", "server": "made, data all"}, f"{_SENDFILE}: fallback"),
    Case("sendfile-after-close", "asyncio", """
        connect
        client close
        client sendfile 5
        wait client lost
        """, {"client": "made, lost clean?, sendfile raises RuntimeError, lost clean?"}, _SENDFILE),
    Case("sendfile-to-a-slow-reader", "", """
        on server data: server pause_reading
        connect
        client write 5
        wait server data 5
        server resume_reading
        client sendfile 4M
        wait server data all
        """, {"client": "made, sendfile all", "server": "made, data part|data all|data 5, data all?"}, _SENDFILE),

    # --- buffered protocols -------------------------------------------------------------------------------------
    Case("buffered-data", "asyncio", """
        connect buffered
        raw send 5
        wait client data 5
        raw hang_up
        wait client lost
        """, {"client": "made, data 5, eof, lost clean"}, _BUFFERED),
    Case("buffered-size-hint", "asyncio hint", """
        connect buffered
        raw send 5
        wait client data 5
        """, {"client": "made, hint any|hint positive, data 5"}, f'{_BUFFERED}, get_buffer: sizehint "or -1"',
        usual={"client": "made, hint any, data 5"}),
    Case("buffered-small-buffer", "asyncio", """
        connect buffered
        client buffer 8
        raw send 1000
        wait client data 1000
        """, {"client": "made, data 1000"}, _BUFFERED),
    Case("buffered-big", "asyncio", """
        connect buffered
        client buffer 65536
        raw send 2M
        wait client data all
        """, {"client": "made, data all"}, _BUFFERED),
    Case("buffered-empty-buffer", "asyncio", """
        connect buffered
        client buffer empty
        raw send 5
        wait client lost
        """, {"client": "made, lost RuntimeError", "loop": "reports RuntimeError"},
        f'{_BUFFERED}, get_buffer: "It is an error to return a buffer with a zero size"'),
    Case("buffered-get-buffer-raises", "asyncio", """
        connect buffered
        client buffer raising
        raw send 5
        wait client lost
        """, {"client": "made, lost ZeroDivisionError|lost RuntimeError", "loop": "reports *"},
        "asyncio/selector_events.py, _fatal_error"),
    Case("buffered-updated-raises", "asyncio", """
        on client data: client raise ZeroDivisionError
        connect buffered
        raw send 5
        wait client lost
        """, {"client": "made, data 5, lost ZeroDivisionError", "loop": "reports ZeroDivisionError"},
        "asyncio/selector_events.py, _fatal_error"),
    Case("buffered-pause", "asyncio", """
        connect buffered
        client pause_reading
        raw send 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, "asyncio Transports, pause_reading"),
    Case("buffered-eof-kept", "asyncio", """
        on client eof: client keep
        connect buffered
        raw shutdown
        wait client eof
        client write 5
        wait raw data 5
        client close
        wait client lost
        """, {"client": "made, eof, lost clean", "raw": "data 5"}, _BUFFERED),
    Case("buffered-over-tls", "asyncio tls", """
        connect tls-buffered
        raw send 100000
        wait client data 100000
        raw close_notify
        wait client lost
        """, {"client": "made, data 100000, eof?, lost clean"}, _BUFFERED),
)  # fmt: skip
