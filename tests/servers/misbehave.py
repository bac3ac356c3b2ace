"""A small server that does one thing wrong on request.

Usage: misbehave.py PORT [name=value ...]

bind=ADDRESS|PATH   where it listens          before=S      seconds before it listens
exit=STATUS         ends before it listens    never=1       never listens
ignore=SIGNAL,...   ignores these             flood=N       prints N bytes before it listens
reply=N             prints N bytes on each request, then answers
child=plain|setsid|daemon   forks a child that stays (daemon: double fork, environment emptied)
background=1        puts itself into the background
mute=1              accepts and says nothing  say=TEXT      says this to each client instead of "pong"
stay=1              stays when it cannot bind core=1        kills itself by SIGSEGV once it listens, on a request
pids=FILE           writes "NAME PID" lines, pids as seen outside a PID namespace
zombie=1            leaves a zombie child     leak=N        opens N descriptors on each request
"""

import os
import signal
import socket
import sys
import time


def main() -> None:
    port, options = int(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:])

    def note(name: str) -> None:
        if "pids" in options:
            with open(options["pids"], "a") as file:
                file.write(f"{name} {os.readlink('/proc/self')}\n")

    if "background" in options and os.fork():
        os._exit(0)
    note("server")
    for name in filter(None, options.get("ignore", "").split(",")):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if "child" in options:
        fork_child(options["child"], options.get("pids", os.devnull), note)
    if "zombie" in options:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and stays unreaped
    flood(int(options.get("flood", 0)))
    time.sleep(float(options.get("before", 0)))
    if "exit" in options:
        print("server: cannot read the configuration", file=sys.stderr)
        sys.exit(int(options["exit"]))
    if "never" in options:
        print("server: waiting for a lock", file=sys.stderr, flush=True)
        time.sleep(600)
    serve(listen(port, options), options)


def fork_child(kind: str, pids: str, note) -> None:
    if os.fork():
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if kind in ("setsid", "daemon"):
        os.setsid()
    if kind == "daemon":
        if os.fork():
            os._exit(0)
        text = (
            "import os,sys,time\nopen(sys.argv[1],'a').write('child '+os.readlink('/proc/self')+'\\n')\ntime.sleep(600)"
        )
        os.execve(sys.executable, [sys.executable, "-c", text, pids], {})
    note("child")
    time.sleep(600)
    os._exit(0)


def flood(count: int) -> None:
    line = b"x" * 99 + b"\n"
    for _ in range(count // 10_000):
        os.write(1, line * 100)


def listen(port: int, options: dict[str, str]) -> socket.socket:
    bind = options.get("bind", "127.0.0.1")
    family = socket.AF_UNIX if bind.startswith("/") else socket.AF_INET6 if ":" in bind else socket.AF_INET
    listening = socket.socket(family)
    try:
        if family == socket.AF_UNIX:
            listening.bind(bind)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((bind, port))
    except OSError as error:
        print(f"server: bind: {error}", file=sys.stderr, flush=True)
        if "stay" in options:
            time.sleep(600)
        sys.exit(1)
    listening.listen()
    print("ready", flush=True)
    return listening


def serve(listening: socket.socket, options: dict[str, str]) -> None:
    kept = []
    while True:
        connection, _ = listening.accept()
        if "mute" in options:
            kept.append(connection)
            continue
        with connection:
            if not connection.recv(4096):
                continue
            if "core" in options:
                os.kill(os.getpid(), signal.SIGSEGV)
            kept += [os.open("/etc/hostname", os.O_RDONLY) for _ in range(int(options.get("leak", 0)))]
            flood(int(options.get("reply", 0)))
            connection.sendall(options.get("say", "pong").encode() + b"\n")


main()
