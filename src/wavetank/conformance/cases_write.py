"""The cases of writing: amounts, sorts of buffers, water marks, exceptions, what a transport tells, other protocols.

Owns nothing but data; see `case` for what a record is, `engine` for the words of scripts.
"""

from __future__ import annotations

from typing import Final

from wavetank.conformance.case import Case

_WRITE: Final = 'asyncio Transports, write: "it buffers the data and arranges for it to be sent out asynchronously"'
_LINES: Final = 'asyncio Transports, writelines: "functionally equivalent to calling write() on each element"'
_CLOSE: Final = 'asyncio Transports, close: "buffered data will be flushed asynchronously"'
_PAIRED: Final = 'asyncio/protocols.py, pause_writing: "Pause and resume calls are paired"'
_OVER: Final = 'asyncio/protocols.py, pause_writing: "it must go strictly over"'
_LIMITS: Final = "asyncio Transports, set_write_buffer_limits"
_TYPES: Final = "asyncio/selector_events.py, write: TypeError for what is not bytes-like"
_HANDLER: Final = "asyncio Event Loop, call_exception_handler"
_OPEN: Final = "left open by the documentation; told for comparison"
_INFO: Final = "asyncio Transports, get_extra_info"
_SET: Final = 'asyncio Transports, set_protocol: "Switching protocol"'

CASES: Final[tuple[Case, ...]] = (
    Case("write-one-byte", "", """
        connect
        client write 1
        wait server data 1
        """, {"server": "made, data 1"}, _WRITE),
    Case("write-in-made", "", """
        on client made: client write 5
        connect
        wait server data 5
        """, {"server": "made, data 5"}, _WRITE),
    Case("write-nothing", "", """
        connect
        client write 0
        settle
        client write 5
        wait server data 5
        settle
        """, {"client": "made", "server": "made, data 5"}, _WRITE),
    Case("write-many-small", "", """
        connect
        client write times 2000x7
        wait server data 14000
        """, {"server": "made, data 14000"}, _WRITE),
    Case("write-big", "", """
        connect
        client write 8M
        wait server data all
        """, {"server": "made, data all"}, _WRITE),
    Case("write-big-both-ways", "", """
        connect
        client write 4M
        server write 4M
        wait server data all
        wait client data all
        """, {"server": "made, data all", "client": "made, data all"}, _WRITE),
    Case("write-big-in-parts", "", """
        connect
        client write times 64x65537
        wait server data all
        """, {"server": "made, data all"}, _WRITE),
    Case("write-in-data", "", """
        on server data: server write 6
        connect
        client write 5
        wait client data 6
        """, {"client": "made, data 6", "server": "made, data 5"}, _WRITE),
    Case("write-then-close-flushes", "", """
        connect
        client write 4M
        client close
        wait server lost
        """, {"server": "made, data all, eof, lost clean"}, _CLOSE),
    Case("write-then-close-flushes-to-slow-reader", "", """
        connect
        server pause_reading
        client write 4M
        client close
        settle
        server resume_reading
        wait server lost
        wait client lost
        """, {"server": "made, data all, eof, lost clean", "client": "made, lost clean"}, _CLOSE),
    Case("write-after-close-while-pending", "", """
        connect
        server pause_reading
        client write 8M
        client close
        client write 5
        settle
        server resume_reading
        wait server lost
        wait client lost
        """, {"client": "made, write raises *?, lost clean", "server": "made, data all|data part, eof, lost clean"},
        _OPEN),
    Case("write-after-close", "", """
        connect
        client close
        client write 5
        wait client lost
        wait server lost
        """, {"client": "made, write raises *?, lost clean", "server": "made, data 5?, eof, lost clean"}, _OPEN),
    Case("write-after-lost", "log", """
        connect
        client close
        wait client lost
        client write 5
        client write times 10x1
        settle
        """, {"client": "made, lost clean, write raises *?"}, _OPEN,
        usual={"client": "made, lost clean", "log": ""}),
    Case("write-after-abort", "", """
        connect
        client abort
        client write 5
        wait client lost
        wait server lost
        """, {"client": "made, write raises *?, lost clean|lost aborted", "server": "made, eof?, lost *"},
        'asyncio Transports, abort: "Buffered data will be lost"'),
    Case("abort-with-full-buffer", "", """
        connect
        server pause_reading
        client write 8M
        settle
        client abort
        wait client lost
        server resume_reading
        wait server lost
        """, {"client": "made, lost clean", "server": "made, data part, eof?, lost clean|lost reset"}, _OPEN,
        twisted={"client": "made, lost aborted", "server": "made, data part|data *?, lost reset"},
        usual={"server": "made, data part|data *?, lost reset"}),

    # --- sorts of buffers ---------------------------------------------------------------------------------------
    Case("write-bytearray", "", """
        connect
        client write bytearray 5
        wait server data 5
        """, {"server": "made, data 5"}, _WRITE,
        twisted={"client": "made, write raises TypeError", "server": "made, never data *?"}),
    Case("bytearray-changed-after-write", "", """
        connect
        server pause_reading
        client write mutated 8M
        server resume_reading
        wait server data all
        """, {"server": "made, data all|garbled"}, _OPEN,
        twisted={"client": "made, write raises TypeError", "server": "made, never data *?"},
        usual={"server": "made, data all or made"}),
    Case("write-memoryview", "", """
        connect
        client write memoryview 1M
        wait server data all
        """, {"server": "made, data all"}, _WRITE,
        twisted={"client": "made, write raises TypeError", "server": "made, never data *?"}),
    Case("write-memoryview-of-a-part", "", """
        connect
        client write sliced 1M
        wait server data all
        """, {"server": "made, data all"}, _WRITE,
        twisted={"client": "made, write raises TypeError", "server": "made, never data *?"}),
    Case("memoryview-of-4-byte-items", "", """
        connect
        server pause_reading
        client write memoryview4 8M
        settle
        server resume_reading
        wait server data all
        """, {"server": "made, data all"}, _WRITE,
        twisted={"client": "made, write raises TypeError", "server": "made, never data *?"}),
    Case("writelines", "", """
        connect
        client writelines 3 4 5
        wait server data 12
        """, {"server": "made, data 12"}, _LINES),
    Case("writelines-of-a-generator", "", """
        connect
        client writelines 3 4 5 generator
        wait server data 12
        """, {"server": "made, data 12"}, _LINES),
    Case("writelines-of-nothing", "", """
        connect
        client writelines
        settle
        client write 5
        wait server data 5
        """, {"client": "made", "server": "made, data 5"}, _LINES),
    Case("writelines-with-empty-items", "", """
        connect
        client writelines 0 3 0 4 0
        wait server data 7
        client close
        wait client lost
        wait server lost
        """, {"client": "made, lost clean", "server": "made, data 7, eof, lost clean"}, _LINES),
    Case("writelines-empty-then-close", "", """
        connect
        client writelines 0
        client close
        wait client lost
        wait server lost
        """, {"client": "made, lost clean", "server": "made, eof, lost clean"}, _LINES),
    Case("writelines-big", "", """
        connect
        client writelines 1M 1 1M 2 1M
        wait server data all
        """, {"server": "made, data all"}, _LINES),
    Case("writelines-after-write", "", """
        connect
        server pause_reading
        client write 4M
        client writelines 3 4
        client write 5
        server resume_reading
        wait server data all
        """, {"server": "made, data all"}, _LINES),
    Case("writelines-after-close", "", """
        connect
        client close
        client writelines 3 4
        wait client lost
        wait server lost
        """, {"client": "made, lost clean", "server": "made, data 7?, eof, lost clean"}, _LINES),
    Case("write-text", "", """
        connect
        client write wrong text
        """, {"client": "made, write raises TypeError"}, _TYPES),
    Case("write-no-bytes", "", """
        connect
        client write wrong number
        client write wrong list
        """, {"client": "made, write raises TypeError"}, _TYPES),
    Case("write-empty-no-bytes", "", """
        connect
        client write wrong emptytext
        client write wrong none
        client write wrong zero
        client write wrong emptylist
        client mark last
        """, {"client": "made, write raises TypeError, mark last"}, _TYPES),

    # --- water marks --------------------------------------------------------------------------------------------
    Case("limits-by-default", "asyncio flow", """
        connect
        client ask limits
        """, {"client": "made, limits *"}, _OPEN,
        usual={"client": "made, limits 16384-65536"}),
    Case("limits-high-alone", "asyncio flow", """
        connect
        client set_limits high=1000
        client ask limits
        """, {"client": "made, limits *-1000"}, _LIMITS),
    Case("limits-both", "asyncio flow", """
        connect
        client set_limits low=10 high=1000
        client ask limits
        """, {"client": "made, limits 10-1000"}, _LIMITS),
    Case("limits-equal", "asyncio flow", """
        connect
        client set_limits low=1000 high=1000
        client ask limits
        """, {"client": "made, limits 1000-1000"}, _LIMITS),
    Case("limits-high-zero", "asyncio flow", """
        connect
        client set_limits high=0
        client ask limits
        """, {"client": "made, limits 0-0"}, f'{_LIMITS}: "Setting high to zero forces low to zero as well"'),
    Case("limits-wrong-way-round", "asyncio flow", """
        connect
        client set_limits low=10 high=5
        """, {"client": "made, set_limits raises ValueError"}, f"{_LIMITS}: ValueError"),
    Case("pause-and-resume-writing", "flow", """
        connect
        server pause_reading
        client write 8M
        settle
        client mark full
        server resume_reading
        wait server data all
        wait client resumed
        """, {"client": "made, paused, mark full, resumed"}, _PAIRED),
    Case("pause-writing-once", "flow", """
        connect
        server pause_reading
        client write 8M
        client write 8M
        client write 5
        settle
        """, {"client": "made, paused"}, _PAIRED),
    Case("no-pause-below-the-mark", "flow", """
        connect
        client write 1000
        wait server data 1000
        settle
        """, {"client": "made"}, _PAIRED),
    Case("no-pause-at-the-mark", "asyncio flow", """
        connect
        client set_limits high=64M
        server pause_reading
        client write 8M
        settle
        client limits_at 1
        client write 1
        client mark at
        client write 1
        client mark over
        """, {"client": "made, mark at, paused, mark over"}, _OVER),
    Case("pause-for-any-byte-at-zero", "asyncio flow", """
        on client resumed: client ask buffer
        connect
        client set_limits high=0
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client resumed
        wait server data all
        settle
        """, {"client": "made, paused, resumed, buffer 0"}, f"{_LIMITS}: zero; {_OVER}"),
    Case("no-pause-when-all-is-sent-at-zero", "asyncio flow", """
        connect
        client set_limits high=0
        client write 5
        wait server data 5
        settle
        """, {"client": "made or made, paused, resumed"}, f"{_LIMITS}: zero"),
    Case("limits-raised-while-paused", "asyncio flow", """
        connect
        server pause_reading
        client write 8M
        client set_limits high=64M
        settle
        server resume_reading
        wait server data all
        wait client resumed
        settle
        """, {"client": "made, paused, resumed"}, _PAIRED),
    Case("limits-lowered-while-full", "asyncio flow", """
        connect
        client set_limits high=64M
        server pause_reading
        client write 8M
        client set_limits high=1000
        settle
        client write 1
        client mark written
        """, {"client": "made, paused, mark written"}, _PAIRED),
    Case("resume-at-equal-marks", "asyncio flow", """
        on client resumed: client ask over_high
        connect
        client set_limits low=100000 high=100000
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client resumed
        wait server data all
        settle
        """, {"client": "made, paused, resumed, over_high False, *"}, _PAIRED),
    Case("writelines-pauses", "asyncio flow", """
        connect
        server pause_reading
        client writelines 4M 4M
        settle
        client ask over_high
        """, {"client": "made, paused, over_high True"}, _PAIRED),
    Case("buffer-empty-at-last", "asyncio", """
        connect
        client write 4M
        wait server data all
        settle
        client ask buffer
        """, {"client": "made, buffer 0"}, "asyncio Transports, get_write_buffer_size"),
    Case("write-in-resumed", "flow", """
        on client resumed: client write 5
        connect
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client resumed
        wait server data all
        """, {"server": "made, data all"}, _PAIRED),
    Case("close-in-paused", "asyncio flow", """
        on client paused: client close
        connect
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client lost
        wait server lost
        """, {"client": "made, paused, resumed?, lost clean", "server": "made, data all, eof, lost clean"}, _CLOSE),
    Case("close-in-resumed", "asyncio flow", """
        on client resumed: client close
        connect
        client set_limits high=0
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client lost
        wait server lost
        """, {"client": "made, paused, resumed, lost clean", "server": "made, data all, eof, lost clean"}, _CLOSE),
    Case("abort-in-paused", "flow", """
        on client paused: client abort
        connect
        client write times 100x320000
        wait client lost
        wait server lost
        """, {"client": "made, paused, write raises *?, lost clean|lost aborted"},
        'asyncio Transports, abort: "Buffered data will be lost"'),
    Case("reset-while-writing-is-paused", "flow", """
        connect raw-server
        client write 8M
        settle
        raw reset
        wait client lost
        settle
        """, {"client": "made, paused, resumed?, lost reset"}, _PAIRED,
        twisted={"client": "made, paused, lost reset"}),

    # --- exceptions ---------------------------------------------------------------------------------------------
    Case("made-raises", "", """
        on client made: client raise ZeroDivisionError
        connect raw-server
        raw send 5
        settle
        """, {"client": "made, *", "loop": "reports ZeroDivisionError"}, _HANDLER,
        twisted={"client": "made, *", "loop": "* or "},
        usual={"client": "made, lost ZeroDivisionError"}),
    Case("made-raises-on-the-server", "", """
        on server made: server raise ZeroDivisionError
        connect raw-client
        raw send 5
        settle
        """, {"server": "made, *", "loop": "reports ZeroDivisionError"}, _HANDLER,
        usual={"server": "made, lost ZeroDivisionError"}),
    Case("data-raises", "", """
        on client data: client raise ZeroDivisionError
        connect raw-server
        raw send 5
        settle
        """, {"client": "made, data 5, lost ZeroDivisionError", "loop": "reports ZeroDivisionError"},
        "asyncio/transports and selector_events, _fatal_error"),
    Case("data-raises-oserror", "", """
        on client data: client raise OSError
        connect raw-server
        raw send 5
        settle
        """, {"client": "made, data 5, lost OSError", "loop": "reports OSError or "}, _OPEN,
        usual={"loop": "reports OSError"}),
    Case("eof-raises", "", """
        on client eof: client raise ZeroDivisionError
        connect raw-server
        raw shutdown
        settle
        """, {"client": "made, eof, lost *", "loop": "reports ZeroDivisionError"}, _HANDLER),
    Case("lost-raises", "", """
        on client lost: client raise ZeroDivisionError
        connect raw-server
        client close
        wait raw eof
        settle
        """, {"client": "made, lost clean", "raw": "eof", "loop": "reports ZeroDivisionError"}, _HANDLER),
    Case("paused-raises", "flow", """
        on client paused: client raise ZeroDivisionError
        connect
        client write 8M
        wait server data all
        """, {"server": "made, data all", "loop": "reports ZeroDivisionError", "client": "made, paused, *"}, _HANDLER,
        twisted={"client": "made, paused, write raises ZeroDivisionError", "loop": "* or ", "server": "made, *"}),
    Case("resumed-raises", "asyncio flow", """
        on client resumed: client raise ZeroDivisionError
        connect
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait server data all
        settle
        client write 5
        wait server data all
        """, {"server": "made, data all", "loop": "reports ZeroDivisionError", "client": "made, paused, resumed, *"},
        _HANDLER),
    Case("resume-producing-raises", "twisted flow", """
        on client resumed: client raise ZeroDivisionError
        connect
        server pause_reading
        client write 8M
        settle
        server resume_reading
        wait client lost
        wait server lost
        """, {"client": "made, paused, resumed, lost ZeroDivisionError", "server": "made, data all, eof, lost *",
              "loop": "reports ZeroDivisionError"}, "twisted/internet/abstract.py, FileDescriptor.doWrite"),

    # --- what a transport tells ---------------------------------------------------------------------------------
    Case("extra-info", "", """
        connect
        client ask extra peername
        client ask extra sockname
        client ask extra socket
        """, {"client": "made, extra peername there, extra sockname there, extra socket there"}, _INFO),
    Case("extra-info-unknown", "asyncio", """
        connect
        client ask unknown_extra
        """, {"client": "made, unknown_extra default"}, _INFO),
    Case("extra-info-after-lost", "", """
        connect
        client close
        wait client lost
        client ask extra peername
        client ask extra sockname
        """, {"client": "made, lost clean, extra peername there|extra peername missing,"
              " extra sockname there|extra sockname missing"}, _INFO,
        twisted={"client": "made, lost clean, extra peername *, extra sockname *"}),
    Case("is-closing", "asyncio", """
        connect
        client ask is_closing
        client close
        client ask is_closing
        wait client lost
        client ask is_closing
        """, {"client": "made, is_closing False, is_closing True, lost clean, is_closing True"},
        "asyncio Transports, is_closing"),
    Case("is-closing-after-abort", "asyncio", """
        connect
        client ask is_closing
        client abort
        client ask is_closing
        wait client lost
        """, {"client": "made, is_closing False, is_closing True, lost clean"}, "asyncio Transports, is_closing"),
    Case("is-closing-after-peers-end", "asyncio", """
        connect raw-server
        raw hang_up
        wait client lost
        client ask is_closing
        """, {"client": "made, eof, lost clean, is_closing True"}, "asyncio Transports, is_closing"),
    Case("get-protocol", "asyncio", """
        connect
        client ask has_protocol
        """, {"client": "made, has_protocol True"}, "asyncio Transports, get_protocol"),

    # --- another protocol in mid-stream -------------------------------------------------------------------------
    Case("set-protocol", "asyncio", """
        connect raw-server
        raw send 3
        wait client data 3
        client replace second
        raw send 5
        wait second data 8
        raw hang_up
        wait second lost
        """, {"client": "made, data 3, protocol is new", "second": "data 5, eof, lost clean"}, _SET),
    Case("set-protocol-in-data", "asyncio", """
        on client data: client replace second
        connect raw-server
        raw send 3
        wait client data 3
        raw send 5
        wait second data 8
        second close
        wait second lost
        """, {"client": "made, data 3, protocol is new", "second": "data 5, lost clean"}, _SET),
    Case("set-protocol-buffered", "asyncio", """
        connect raw-server
        raw send 3
        wait client data 3
        client replace second buffered
        raw send 5
        wait second data 8
        second close
        wait second lost
        """, {"client": "made, data 3, protocol is new", "second": "data 5, lost clean"}, _SET),
    Case("set-protocol-while-paused", "asyncio", """
        connect raw-server
        client pause_reading
        raw send 5
        settle
        client replace second
        settle
        second resume_reading
        wait second data 5
        """, {"client": "made, protocol is new", "second": "data 5"}, _SET),
)  # fmt: skip
