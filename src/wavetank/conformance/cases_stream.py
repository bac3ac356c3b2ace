"""The cases of streams: order of calls, ends, half close, reading paused, writing, exceptions, what a transport tells.

Owns nothing but data; see `case` for what a record is, `engine` for the words of scripts.
"""

from __future__ import annotations

from typing import Final

from wavetank.conformance.case import Case

_PROTOCOL: Final = "asyncio/protocols.py, Protocol: start -> CM [-> DR*] [-> ER?] -> CL -> end"
_ONCE: Final = 'asyncio/protocols.py, Protocol: "connection_lost() will be called exactly once"'
_SOON: Final = (
    'asyncio/protocols.py, pause_writing: "the only Protocol callback that is not called through call_soon()"'
)
_CLOSE: Final = (
    'asyncio Transports, close: "buffered data will be flushed asynchronously. No more data will be received"'
)
_ABORT: Final = 'asyncio Transports, abort: "Buffered data will be lost. No more data will be received"'
_EOF: Final = 'asyncio Protocols, eof_received: "If this returns a false value, the transport will close itself"'
_PAUSE: Final = 'asyncio Transports, pause_reading: "No data will be passed ... until resume_reading() is called"'
_IDEMPOTENT: Final = "asyncio Transports, pause_reading and resume_reading: idempotent (3.7)"
_WRITE: Final = 'asyncio Transports, write: "Write some data bytes to the transport"'
_WRITE_EOF: Final = 'asyncio Transports, write_eof: "after flushing all buffered data. Data may still be received"'
_OPEN: Final = "left open by the documentation; told for comparison"
_INFO: Final = "asyncio Transports, get_extra_info"
_ONE_END: Final = {"client": "made, lost clean", "server": "made, eof, lost clean"}
_ANY_ABORT: Final = {
    "client": "made, lost clean|lost aborted",
    "server": "made, eof?, lost clean|lost reset",
}

CASES: Final[tuple[Case, ...]] = (
    Case("data-eof-lost", "", """
        connect raw-server
        raw send 5
        wait client data 5
        raw hang_up
        wait client lost
        """, {"client": "made, data 5, eof, lost clean"}, _PROTOCOL),
    Case("close-ends-both", "", """
        connect
        client close
        wait client lost
        wait server lost
        settle
        """, _ONE_END, _ONCE),
    Case("abort-ends-both", "", """
        connect
        client abort
        wait client lost
        wait server lost
        settle
        """, _ANY_ABORT, _ONCE),
    Case("close-twice", "", """
        connect
        client close
        client close
        wait client lost
        wait server lost
        client close
        settle
        """, _ONE_END, _ONCE),
    Case("abort-twice", "", """
        connect
        client abort
        client abort
        wait client lost
        wait server lost
        client abort
        settle
        """, _ANY_ABORT, _ONCE),
    Case("close-then-abort", "", """
        connect
        client close
        client abort
        wait client lost
        wait server lost
        settle
        """, _ANY_ABORT, _ONCE),
    Case("abort-then-close", "", """
        connect
        client abort
        client close
        wait client lost
        wait server lost
        settle
        """, _ANY_ABORT, _ONCE),
    Case("lost-not-inside-close", "", """
        connect
        client close
        client mark returned
        wait client lost
        """, {"client": "made, mark returned, lost clean"}, _SOON),
    Case("lost-not-inside-abort", "", """
        connect
        client abort
        client mark returned
        wait client lost
        """, {"client": "made, mark returned, lost clean|lost aborted"}, _SOON),
    Case("close-in-made", "", """
        on client made: client close; client mark returned
        connect raw-server
        wait client lost
        wait raw eof
        """, {"client": "made, mark returned, lost clean", "raw": "eof"}, _SOON),
    Case("abort-in-made", "", """
        on client made: client abort; client mark returned
        connect raw-server
        wait client lost
        """, {"client": "made, mark returned, lost clean|lost aborted"}, _SOON),
    Case("close-in-data", "", """
        on client data: client close; client mark returned
        connect raw-server
        raw send 5
        wait client lost
        wait raw eof
        """, {"client": "made, data 5, mark returned, lost clean", "raw": "eof"}, _SOON),
    Case("abort-in-data", "", """
        on client data: client abort; client mark returned
        connect raw-server
        raw send 5
        wait client lost
        """, {"client": "made, data 5, mark returned, lost clean|lost aborted"}, _SOON),
    Case("close-in-eof", "", """
        on client eof: client close; client mark returned
        connect raw-server
        raw shutdown
        wait client lost
        wait raw eof
        """, {"client": "made, eof, mark returned, lost clean", "raw": "eof"}, _SOON),
    Case("abort-in-eof", "", """
        on client eof: client abort; client mark returned
        connect raw-server
        raw shutdown
        wait client lost
        """, {"client": "made, eof, mark returned, lost clean|lost aborted"}, _SOON),
    Case("close-in-lost", "", """
        on client lost: client close; client abort
        connect raw-server
        raw hang_up
        wait client lost
        settle
        """, {"client": "made, eof, lost clean"}, _ONCE),
    Case("write-in-lost", "", """
        on client lost: client write 5
        connect raw-server
        raw hang_up
        wait client lost
        settle
        """, {"client": "made, eof, lost clean, write raises *?"}, _OPEN),
    Case("close-while-peer-sends", "", """
        connect raw-server
        client close
        raw send 5
        settle
        """, {"client": "made, lost clean"}, _CLOSE, twisted={"client": "made, data 5?, lost *"}),
    Case("abort-while-peer-sends", "", """
        connect raw-server
        client abort
        raw send 5
        settle
        """, {"client": "made, lost clean|lost aborted"}, _ABORT),
    Case("both-close-at-once", "", """
        connect
        client close
        server close
        wait client lost
        wait server lost
        settle
        """, {"client": "made, eof?, lost clean", "server": "made, eof?, lost clean"}, _ONCE),
    Case("events-when-connect-returns", "", """
        on server made: server write 5
        connect greeting
        wait client data 5
        """, {"seen at return": "made, data 5?", "client": "made, data 5"}, _OPEN,
        usual={"seen at return": "made"}),
    Case("data-right-after-made", "", """
        on server made: server write 5
        connect
        wait client data 5
        """, {"client": "made, data 5"}, _PROTOCOL),

    # --- half close ---------------------------------------------------------------------------------------------
    Case("data-before-eof", "", """
        connect raw-server
        raw send 100000
        raw shutdown
        wait client lost
        """, {"client": "made, data 100000, eof, lost clean"}, _PROTOCOL),
    Case("eof-closes", "", """
        connect raw-server
        raw shutdown
        wait client lost
        wait raw eof
        """, {"client": "made, eof, lost clean", "raw": "eof"}, _EOF),
    Case("eof-kept-open", "", """
        on client eof: client keep
        connect raw-server
        raw send 3
        raw shutdown
        wait client eof
        settle
        client write 5
        wait raw data 5
        client close
        wait client lost
        wait raw eof
        """, {"client": "made, data 3, eof, lost clean", "raw": "data 5, eof"}, _EOF),
    Case("eof-kept-open-stays", "", """
        on client eof: client keep
        connect raw-server
        raw shutdown
        wait client eof
        settle
        client mark waited
        client close
        wait client lost
        """, {"client": "made, eof, mark waited, lost clean"}, _EOF),
    Case("eof-once-when-kept", "", """
        on client eof: client keep
        connect raw-server
        raw shutdown
        wait client eof
        client write 5
        settle
        client write 5
        settle
        client close
        wait client lost
        """, {"client": "made, eof, lost clean"}, 'asyncio Protocols: "eof_received() is called at most once"'),
    Case("eof-once-after-pause", "", """
        on client eof: client keep
        connect raw-server
        raw shutdown
        wait client eof
        client pause_reading
        client resume_reading
        settle
        client pause_reading
        client resume_reading
        settle
        client close
        wait client lost
        """, {"client": "made, eof, lost clean"}, 'asyncio Protocols: "eof_received() is called at most once"'),
    Case("write-eof", "", """
        on server eof: server keep
        connect
        client write_eof
        wait server eof
        server write 5
        wait client data 5
        server close
        wait client lost
        wait server lost
        """, {"client": "made, data 5, eof, lost clean", "server": "made, eof, lost clean"}, _WRITE_EOF),
    Case("write-eof-flushes", "", """
        on server eof: server keep
        connect
        server pause_reading
        client write 4M
        client write_eof
        settle
        server resume_reading
        wait server eof
        server close
        wait server lost
        """, {"server": "made, data all, eof, lost clean"}, _WRITE_EOF),
    Case("write-eof-twice", "", """
        connect
        client write_eof
        client write_eof
        wait client lost
        wait server lost
        """, {"client": "made, eof, lost clean", "server": "made, eof, lost clean"}, _WRITE_EOF),
    Case("write-eof-after-close", "", """
        connect
        client close
        client write_eof
        wait client lost
        wait server lost
        """, {"client": "made, write_eof raises *?, lost clean", "server": "made, eof, lost clean"}, _OPEN),
    Case("write-after-write-eof", "", """
        on server eof: server keep
        connect
        client write_eof
        client write 5
        wait server eof
        settle
        server close
        wait client lost
        """, {"client": "made, write raises RuntimeError, eof, lost clean", "server": "made, eof, lost clean"},
        "asyncio/selector_events.py, write: RuntimeError; asyncio/transports.py, write_eof",
        twisted={"client": "made, write raises *?, eof, lost clean", "server": "made, data 5?, eof, lost clean"}),
    Case("close-after-write-eof", "", """
        on server eof: server keep
        connect
        client write_eof
        client close
        wait client lost
        wait server eof
        server close
        wait server lost
        """, {"client": "made, lost clean", "server": "made, eof, lost clean"}, _WRITE_EOF),
    Case("both-write-eof", "", """
        on server eof: server keep
        on client eof: client keep
        connect
        client write 5
        client write_eof
        wait server eof
        server write 6
        server write_eof
        wait client eof
        client close
        server close
        wait client lost
        wait server lost
        """, {"client": "made, data 6, eof, lost clean", "server": "made, data 5, eof, lost clean"}, _WRITE_EOF,
        twisted={"client": "made, data 6, eof?, lost clean", "server": "made, data 5, eof, lost clean"}),
    Case("can-write-eof", "asyncio", """
        connect
        client ask can_write_eof
        """, {"client": "made, can_write_eof True"}, "asyncio Transports, can_write_eof"),

    # --- reading paused -----------------------------------------------------------------------------------------
    Case("pause-in-made", "", """
        on client made: client pause_reading
        connect raw-server
        raw send 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, _PAUSE),
    Case("pause-holds-data", "", """
        connect raw-server
        client pause_reading
        raw send 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, _PAUSE),
    Case("pause-in-data", "", """
        on client data: client pause_reading
        connect raw-server
        raw send 5
        wait client data 5
        raw send 6
        settle
        client mark quiet
        client resume_reading
        wait client data 11
        """, {"client": "made, data 5, mark quiet, data 6"}, _PAUSE),
    Case("pause-twice-resume-once", "", """
        connect raw-server
        client pause_reading
        client pause_reading
        raw send 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, _IDEMPOTENT),
    Case("resume-without-pause", "", """
        connect raw-server
        client resume_reading
        client resume_reading
        raw send 5
        wait client data 5
        """, {"client": "made, data 5"}, _IDEMPOTENT),
    Case("pause-resume-pause", "", """
        connect raw-server
        client pause_reading
        client resume_reading
        client pause_reading
        raw send 5
        settle
        client mark quiet
        client resume_reading
        wait client data 5
        """, {"client": "made, mark quiet, data 5"}, _PAUSE),
    Case("is-reading", "asyncio", """
        connect
        client ask is_reading
        client pause_reading
        client ask is_reading
        client resume_reading
        client ask is_reading
        """, {"client": "made, is_reading True, is_reading False, is_reading True"}, "asyncio Transports, is_reading"),
    Case("is-reading-in-made", "asyncio", """
        on client made: client pause_reading
        connect
        settle
        client ask is_reading
        """, {"client": "made, is_reading False"}, "asyncio Transports, is_reading"),
    Case("is-reading-after-eof", "asyncio", """
        on client eof: client keep
        connect raw-server
        raw shutdown
        wait client eof
        client pause_reading
        client resume_reading
        client ask is_reading
        client close
        wait client lost
        """, {"client": "made, eof, is_reading *, eof?, lost clean"}, _OPEN,
        usual={"client": "made, eof, is_reading True, *"}),
    Case("pause-while-closing", "", """
        connect
        client close
        client pause_reading
        client resume_reading
        wait client lost
        """, {"client": "made, lost clean"}, _IDEMPOTENT),
    Case("pause-after-lost", "", """
        connect
        client close
        wait client lost
        client pause_reading
        client resume_reading
        settle
        """, {"client": "made, lost clean"}, _IDEMPOTENT),
    Case("eof-while-paused", "", """
        connect raw-server
        client pause_reading
        raw shutdown
        settle
        client resume_reading
        wait client lost
        """, {"client": "made, eof, lost clean"}, _PROTOCOL),
    Case("data-and-eof-while-paused", "", """
        connect raw-server
        client pause_reading
        raw send 5
        raw shutdown
        settle
        client mark quiet
        client resume_reading
        wait client lost
        """, {"client": "made, mark quiet, data 5, eof, lost clean"}, _PAUSE),
    Case("close-while-paused", "", """
        connect
        client pause_reading
        server write 5
        settle
        client close
        wait client lost
        wait server lost
        """, {"client": "made, lost clean", "server": "made, eof?, lost clean|lost reset"}, _CLOSE),
    Case("abort-while-paused", "", """
        connect
        client pause_reading
        client abort
        wait client lost
        wait server lost
        """, _ANY_ABORT, _ABORT),
    Case("write-while-reading-is-paused", "", """
        connect
        client pause_reading
        client write 5
        wait server data 5
        """, {"server": "made, data 5"}, _PAUSE),
    Case("big-transfer-through-pauses", "", """
        on server data: server pause_reading
        connect
        client write 4M
        settle
        server mark quiet
        server resume_reading
        wait server data all
        """, {"server": "made, data part|data *, mark quiet, data all|data part|data *"}, _PAUSE),

    # --- reset --------------------------------------------------------------------------------------------------
    Case("reset", "", """
        connect raw-server
        raw reset
        wait client lost
        settle
        """, {"client": "made, lost reset"}, 'asyncio Protocols, connection_lost: "an exception object or None"'),
    Case("reset-with-data-before", "", """
        connect raw-server
        client pause_reading
        raw send 5
        raw reset
        settle
        client resume_reading
        wait client lost
        """, {"client": "made, data 5?, lost reset"}, _OPEN),
    Case("reset-while-paused", "", """
        connect raw-server
        client pause_reading
        raw reset
        settle
        client resume_reading
        wait client lost
        """, {"client": "made, lost reset"}, _ONCE),
    Case("reset-while-writing", "", """
        connect raw-server
        client write 4M
        settle
        raw reset
        wait client lost
        settle
        """, {"client": "made, lost reset"}, _ONCE),
    Case("reset-after-close", "", """
        connect raw-server
        client write 4M
        client close
        settle
        raw reset
        wait client lost
        settle
        """, {"client": "made, lost *"}, _ONCE),
    Case("peer-gone-while-writing", "", """
        connect raw-server
        raw hang_up
        client write 5
        settle
        client write 5
        settle
        wait client lost
        """, {"client": "made, eof?, lost *, write raises *?"}, _ONCE),
)  # fmt: skip
