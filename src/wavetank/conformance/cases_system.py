"""The cases of datagrams, pipes, processes, servers and connecting.

Owns nothing but data; see `case` for what a record is, `engine` for the words of scripts.
"""

from __future__ import annotations

from typing import Final

from wavetank.conformance.case import Case

_DATAGRAM: Final = "asyncio Protocols, Datagram Protocols"
_SENDTO: Final = "asyncio Transports, DatagramTransport.sendto"
_PIPES: Final = "asyncio Event Loop, connect_read_pipe and connect_write_pipe"
_PROCESS: Final = "asyncio Protocols, Subprocess Protocols"
_SERVER: Final = "asyncio Event Loop, Server Objects"
_CONNECT: Final = "asyncio Event Loop, loop.create_connection"
_OPEN: Final = "left open by the documentation; told for comparison"

CASES: Final[tuple[Case, ...]] = (
    # --- datagrams ----------------------------------------------------------------------------------------------
    Case("datagram-exchange", "udp", """
        on server datagram: server sendto back 6
        server bind
        client bind connected
        client sendto 5
        wait client datagram
        """, {"client": "made, datagram 6", "server": "made, datagram 5"}, _DATAGRAM),
    Case("datagram-boundaries", "udp", """
        server bind
        client bind connected
        client sendto 5
        client sendto 6
        client sendto 1000
        wait server datagram 1000
        """, {"server": "made, datagram 5, datagram 6, datagram 1000"}, "udp(7)"),
    Case("datagram-to-an-address", "udp", """
        server bind
        client bind
        client sendto 5
        wait server datagram
        """, {"server": "made, datagram 5"}, _SENDTO),
    Case("datagram-empty", "udp", """
        server bind
        client bind connected
        client sendto 0
        client sendto 5
        wait server datagram 5
        """, {"server": "made, datagram 0?, datagram 5"}, f"{_SENDTO}: an empty datagram is sent since 3.13",
        usual={"server": "made, datagram 0, datagram 5"}),
    Case("datagram-too-large", "udp", """
        server bind
        client bind connected
        client sendto 70000
        settle
        client sendto 5
        wait server datagram 5
        """, {"client": "made, error OSError|sendto raises *?", "server": "made, datagram 5"},
        'asyncio Protocols, error_received: "Called when a previous send or receive operation raises an OSError"'),
    Case("datagram-refused", "udp", """
        client bind nowhere
        client sendto 5
        wait client error
        client sendto 5
        settle
        client close
        wait client lost
        """, {"client": "made, error ConnectionRefusedError, lost clean"}, "asyncio Protocols, error_received"),
    Case("datagram-text", "udp", """
        server bind
        client bind connected
        client sendto text
        """, {"client": "made, sendto raises TypeError"}, _SENDTO),
    Case("datagram-elsewhere-when-connected", "udp", """
        server bind
        client bind connected
        client sendto 5 elsewhere
        """, {"client": "made, sendto raises ValueError"}, _SENDTO,
        twisted={"client": "made, sendto raises *"}),
    Case("datagram-close", "udp", """
        client bind
        client close
        client close
        wait client lost
        settle
        """, {"client": "made, lost clean"}, _DATAGRAM,
        twisted={"loop": "reports AssertionError or "}),
    Case("datagram-abort", "asyncio udp", """
        client bind
        client abort
        wait client lost
        settle
        """, {"client": "made, lost clean"}, _DATAGRAM),
    Case("datagram-after-close", "udp", """
        server bind
        client bind
        client close
        wait client lost
        client sendto 5
        settle
        """, {"client": "made, lost clean, sendto raises *?", "server": "made"}, _OPEN,
        usual={"client": "made, lost clean"}),
    Case("datagram-close-flushes", "asyncio unix udp", """
        server bind unix
        client bind unix
        client sendto times 500x1000
        client close
        wait client lost
        wait server data 500000
        """, {"client": "made, paused?, resumed?, lost clean", "server": "made, datagram 1000"},
        'asyncio Transports, close: "buffered data will be flushed asynchronously"'),
    Case("datagram-flow", "asyncio unix udp flow", """
        server bind unix
        client bind unix
        client set_limits high=0
        client sendto times 500x1000
        wait client resumed
        settle
        client ask buffer
        """, {"client": "made, paused, resumed, buffer 0"}, "asyncio/protocols.py, pause_writing"),
    Case("datagram-unix", "unix udp", """
        server bind unix
        client bind unix
        client sendto 5
        wait server datagram
        """, {"server": "made, datagram 5"}, "unix(7)"),

    # --- pipes --------------------------------------------------------------------------------------------------
    Case("read-pipe", "pipe", """
        reader pipe read
        raw send 5
        wait reader data 5
        raw hang_up
        wait reader lost
        """, {"reader": "made, data 5, eof, lost clean"}, _PIPES),
    Case("read-pipe-eof-kept", "pipe", """
        on reader eof: reader keep
        reader pipe read
        raw hang_up
        wait reader eof
        settle
        """, {"reader": "made, eof, lost clean?"}, _OPEN,
        usual={"reader": "made, eof"}),
    Case("read-pipe-pause", "pipe", """
        reader pipe read
        reader pause_reading
        raw send 5
        settle
        reader mark quiet
        reader resume_reading
        wait reader data 5
        """, {"reader": "made, mark quiet, data 5"}, "asyncio Transports, pause_reading"),
    Case("read-pipe-close", "pipe", """
        reader pipe read
        reader close
        wait reader lost
        settle
        """, {"reader": "made, lost clean"}, _PIPES),
    Case("write-pipe", "pipe", """
        writer pipe write
        writer write 5
        wait raw data 5
        writer close
        wait writer lost
        wait raw eof
        """, {"writer": "made, lost clean", "raw": "data 5, eof"}, _PIPES),
    Case("write-pipe-eof", "pipe", """
        writer pipe write
        writer write 5
        writer write_eof
        wait raw eof
        wait writer lost
        """, {"writer": "made, lost clean", "raw": "data 5, eof"}, _PIPES),
    Case("write-pipe-reader-gone", "pipe", """
        writer pipe write
        raw hang_up
        wait writer lost
        """, {"writer": "made, eof?, lost *"}, _PIPES),
    Case("write-pipe-flow", "pipe flow", """
        writer pipe write
        writer write 300000
        settle
        writer mark full
        raw read
        wait raw data 300000
        wait writer resumed
        """, {"writer": "made, paused, mark full, resumed"}, "asyncio/protocols.py, pause_writing"),
    Case("reader-callbacks", "pipe", """
        loop watch_fd
        """, {"reader": "readable, removed True, removed False"}, "asyncio Event Loop, add_reader and remove_reader",
        twisted={"reader": "readable, removed False"}),

    # --- processes ----------------------------------------------------------------------------------------------
    Case("process-that-does-nothing", "process", """
        child spawn nothing
        wait child lost
        settle
        """, {"child": "made, exited 0, lost clean", "pipe0": "lost *", "pipe1": "lost clean", "pipe2": "lost clean"},
        _PROCESS),
    Case("process-status", "process", """
        child spawn status3
        wait child lost
        child status
        """, {"child": "made, exited 3, lost clean, returncode 3, pid is there|pid is missing"}, _PROCESS),
    Case("process-output", "process", """
        child spawn both
        wait child lost
        """, {"child": "made, exited 0, lost clean", "pipe1": "data, lost clean",
              "pipe2": "data, lost clean"}, _PROCESS),
    Case("process-input-and-output", "process", """
        child spawn cat
        child feed 5
        wait pipe1 data
        child end_input
        wait child lost
        """, {"child": "made, exited 0, lost clean", "pipe1": "data, lost clean"}, _PROCESS),
    Case("process-much-output", "process", """
        child spawn much
        wait child lost
        """, {"child": "made, exited 0, lost clean", "pipe1": "data, lost clean"}, _PROCESS),
    Case("process-killed", "process", """
        child spawn forever
        child kill
        wait child lost
        """, {"child": "made, exited -9, lost clean"}, _PROCESS),
    Case("process-terminated", "process", """
        child spawn forever
        child terminate
        wait child lost
        """, {"child": "made, exited -15, lost clean"}, _PROCESS),
    Case("process-closed", "asyncio process", """
        child spawn forever
        child end
        wait child lost
        """, {"child": "made, exited -9, lost clean"}, 'asyncio Transports, SubprocessTransport.close: "Kill"'),
    Case("process-kill-after-exit", "process", """
        child spawn nothing
        wait child lost
        child kill
        """, {"child": "made, exited 0, lost clean, kill raises ProcessLookupError?"}, _OPEN),
    Case("process-whose-grandchild-holds-output", "process order", """
        on child exited: child mark exit
        child spawn grandchild
        wait child lost
        """, {"child": "made, exited 0, mark exit, lost clean", "pipe1": "lost clean"},
        'asyncio Protocols, process_exited: "can be called before pipe_connection_lost"'),
    Case("process-pipes-lost-before-exit", "process", """
        child spawn quiet
        wait pipe1 lost
        child mark deaf
        child feed 1
        child end_input
        wait child lost
        """, {"child": "made, mark deaf, exited 0|exited 1, lost clean", "pipe1": "never lost?, lost clean"}, _PROCESS),
    Case("process-missing", "process", """
        child spawn missing
        """, {"child": "spawn raises FileNotFoundError"}, "asyncio Event Loop, subprocess_exec"),

    # --- servers ------------------------------------------------------------------------------------------------
    Case("server-closed-refuses", "server", """
        listening listen
        listening close_server
        settle
        client dial
        """, {"client": "dial raises ConnectionRefusedError"}, _SERVER),
    Case("server-closed-keeps-clients", "server", """
        listening listen
        client dial
        wait server made
        listening close_server
        settle
        client write 5
        wait server data 5
        """, {"server": "made, data 5"}, f'{_SERVER}, close: "existing incoming client connections are left open"'),
    Case("server-wait-closed", "server", """
        listening listen
        listening close_server
        listening wait_closed
        wait listening gone
        """, {"listening": "listens, closed, gone"}, _SERVER),
    Case("server-wait-closed-with-a-client", "server", """
        listening listen
        client dial
        wait server made
        listening close_server
        listening wait_closed
        listening mark waited
        client close
        wait server lost
        wait listening gone
        """, {"listening": "listens, closed, gone?, mark waited, gone?"}, f"{_SERVER}, wait_closed: changed in 3.12",
        usual={"listening": "listens, closed, mark waited, gone"}),
    Case("server-again-on-the-port", "server", """
        listening listen
        client dial
        wait server made
        client close
        wait server lost
        listening close_server
        settle
        listening listen again
        client2 dial
        wait server2 made
        """, {"server2": "made", "client2": "made"}, "socket(7), SO_REUSEADDR"),
    Case("server-started-later", "asyncio server", """
        listening listen later
        listening serving
        listening serve
        listening serving
        client dial
        wait server made
        """, {"listening": "listens, is_serving False, serves, is_serving True", "server": "made"}, _SERVER),
    Case("server-is-serving", "asyncio server", """
        listening listen
        listening serving
        listening close_server
        listening serving
        """, {"listening": "listens, is_serving True, closed, is_serving False"}, _SERVER),
    Case("server-as-a-context", "asyncio server", """
        listening listen
        listening serve_with
        """, {"listening": "listens, is_serving True, is_serving False"}, _SERVER),
    Case("server-on-two-addresses", "asyncio server", """
        listening listen both
        """, {"listening": "listens 2|listen raises *"}, _SERVER),
    Case("server-closes-clients", "asyncio server", """
        listening listen
        client dial
        wait server made
        listening close_server
        listening call close_clients
        wait server lost
        wait client lost
        """, {"server": "made, lost clean", "client": "made, eof, lost clean"}, f"{_SERVER}, close_clients (3.13)"),
    Case("server-aborts-clients", "asyncio server", """
        listening listen
        client dial
        wait server made
        listening close_server
        listening call abort_clients
        wait server lost
        wait client lost
        """, {"server": "made, lost clean", "client": "made, eof?, lost clean|lost reset"},
        f"{_SERVER}, abort_clients (3.13)"),
    Case("server-with-many-clients", "server", """
        listening listen
        client dial
        client2 dial
        client3 dial
        wait server3 made
        client3 write 5
        client2 close
        wait server3 data 5
        wait server2 lost
        """, {"server": "made", "server2": "made, eof, lost clean", "server3": "made, data 5"}, _SERVER),
    Case("accepted-socket", "server", """
        server accept
        raw send 5
        wait server data 5
        server close
        wait server lost
        """, {"server": "made, data 5, lost clean"}, "asyncio Event Loop, connect_accepted_socket"),

    # --- connecting ---------------------------------------------------------------------------------------------
    Case("connect-refused", "connect", """
        client dial_taken
        """, {"client": "dial_taken raises ConnectionRefusedError"}, _CONNECT),
    Case("connect-cancelled-at-once", "connect", """
        listening listen
        client dial_cancelled 0
        settle
        """, {"client": "cancelled"}, "asyncio Task, cancel"),
    Case("connect-cancelled-after-a-turn", "connect", """
        listening listen
        client dial_cancelled 1
        settle
        """, {"client": "*, cancelled|closed, *"}, "asyncio Task, cancel"),
    Case("connect-cancelled-later", "connect", """
        listening listen
        client dial_cancelled 3
        settle
        """, {"client": "*, cancelled|closed, *"}, "asyncio Task, cancel"),
    Case("connect-timeout", "connect", """
        client dial_timeout
        """, {"client": "dial_timeout raises TimeoutError"}, "asyncio Task, wait_for"),
    Case("connect-from-an-address", "connect", """
        listening listen
        client dial bound
        wait server made
        """, {"client": "made", "server": "made"}, f"{_CONNECT}: local_addr"),
    Case("connect-with-happy-eyeballs", "connect", """
        listening listen
        client dial eyeballs
        wait server made
        """, {"client": "made", "server": "made"}, f"{_CONNECT}: happy_eyeballs_delay"),
    Case("connect-over-ipv6", "connect", """
        listening listen both
        client dial_family 6
        settle
        """, {"client": "made|dial_family raises *"}, _CONNECT),
)  # fmt: skip
