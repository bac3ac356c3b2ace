"""Before anything is started: whether there is such a program, and whether this machine can execute it.

Owns the search for the program and every error that says why it cannot be executed. Starts nothing.

The idea: `execve` answers ENOENT for a missing program, a missing interpreter of a script, a missing loader of a binary
and (from the standard library) a missing working directory alike. Looking first, and once more when exec has failed,
tells them apart.

Source: execve(2) (its errors, "Interpreter scripts"); elf(5) for class and machine; Linux binfmt_script.c.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from wavetank.errors import ProgramUnusable, did_you_mean

#: Where servers live that ordinary users have not on their PATH.
_MORE_PLACES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
#: e_machine of elf(5) and the names that uname(2) has for them.
_MACHINES: Final = {
    0x03: "i686",
    0x28: "armv7l",
    0x3E: "x86_64",
    0xB7: "aarch64",
    0xF3: "riscv64",
    0x15: "ppc64le",
    0x16: "s390x",
}
#: Servers whose Debian package has another name, and where Debian keeps what is not on the PATH.
_PACKAGES: Final = {
    "nginx": "nginx", "postgres": "postgresql", "redis-server": "redis-server", "sshd": "openssh-server",
    "ssh": "openssh-client", "haproxy": "haproxy", "socat": "socat", "memcached": "memcached",
    "mysqld": "mariadb-server", "dnsmasq": "dnsmasq", "initdb": "postgresql",
}  # fmt: skip


def find(name: str, environment: Mapping[str, str], cwd: str) -> str:
    """The path of the program, absolute. Raises `ProgramUnusable`."""
    if not os.path.isdir(cwd):
        raise ProgramUnusable(
            f"the working directory {cwd} {'is not a directory' if os.path.exists(cwd) else 'does not exist'}",
            where=f"for the program {name!r}",
            next="make it, or give another one: cwd=...",
        )
    if "/" in name:
        path = os.path.normpath(os.path.join(cwd, name))
        check(path, name, environment)
        return path
    places = [place for place in environment.get("PATH", os.defpath).split(os.pathsep) if place]
    places += [place for place in _MORE_PLACES if place not in places]
    candidates = [os.path.join(cwd, place, name) for place in places]
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            check(path, name, environment)
            return path
    for path in candidates:
        if os.path.exists(path):
            check(path, name, environment)
    raise ProgramUnusable(
        f"program {name!r} not found", where=f"looked in {', '.join(places)}", next=_hint(name, places)
    )


def _hint(name: str, places: list[str]) -> str:
    package = _PACKAGES.get(name)
    if package is not None:
        return f"install it (Debian: apt-get install {package}), or give its path"
    present = {entry for place in places if os.path.isdir(place) for entry in os.listdir(place)}
    question = did_you_mean(name, sorted(present))
    return f"install it, or give its path.{question}"


def check(path: str, name: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise `ProgramUnusable` when the file cannot be executed, saying which file and what is wrong with it."""

    def unusable(problem: str, next: str) -> ProgramUnusable:
        return ProgramUnusable(f"program {name!r} cannot be executed: {path} {problem}", where=path, next=next)

    if not os.path.lexists(path):
        raise ProgramUnusable(
            f"program {name!r} not found: there is no {path}",
            where=f"looked in {os.path.dirname(path)}",
            next="give the right path",
        )
    if not os.path.exists(path):
        raise unusable(f"is a dangling link to {os.readlink(path)}", "mend the link")
    if os.path.isdir(path):
        raise unusable("is a directory", "give the path of the program in it")
    if not os.access(path, os.X_OK):
        raise unusable("is not executable", f"chmod +x {path}")
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return  # executable but not readable: exec decides
    if head.startswith(b"#!"):
        _check_interpreter(path, head, unusable, environment.get("PATH", os.defpath))
    elif head.startswith(b"\x7fELF") and len(head) >= 20:
        machine = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]
        built_for = _MACHINES.get(machine, f"machine {machine:#x}")
        here = platform.machine()
        # 64-bit machines run the 32-bit programs of their family, where the kernel is so configured.
        relatives = {"x86_64": {"i686"}, "aarch64": {"armv7l"}}.get(here, set())
        if built_for != here and built_for not in relatives:
            raise unusable(
                f"is built for the wrong architecture: {built_for}, and this machine is {here}",
                f"install the {here} build",
            )
    elif not head:
        raise unusable("is empty", "build or install it again")
    else:
        raise unusable(
            "is neither a binary of this system nor a script: it has no #! line",
            f"give its interpreter, as in: sh {path}",
        )


def _check_interpreter(path: str, head: bytes, unusable: Callable[..., ProgramUnusable], places: str) -> None:
    words = head[2:].split(b"\n")[0].split()
    if not words:
        raise unusable("is a script whose #! line names no interpreter", f"write one into {path}")
    interpreter = os.fsdecode(words[0])
    if head[2:].split(b"\n")[0].endswith(b"\r"):
        # The kernel takes the carriage return for a part of the name (Linux fs/binfmt_script.c).
        raise unusable(
            "is a script whose #! line ends as on Windows (CR LF), which makes the interpreter's name "
            f"{interpreter + chr(13)!r}",
            f"sed -i 's/\\r$//' {path}",
        )
    if not os.path.exists(interpreter):
        raise unusable(
            f"is a script, and its interpreter {interpreter} does not exist",
            f"install {interpreter}, or change the first line of {path}",
        )
    if not os.access(interpreter, os.X_OK):
        raise unusable(f"is a script, and its interpreter {interpreter} is not executable", f"chmod +x {interpreter}")
    _check_env(path, [os.fsdecode(word) for word in words], unusable, places)


def _check_env(path: str, words: list[str], unusable: Callable[..., ProgramUnusable], places: str) -> None:
    """`#!/usr/bin/env NAME`: env(1) would look for NAME on the PATH, and end with status 127."""
    if os.path.basename(words[0]) != "env" or len(words) < 2:
        return
    name = words[2] if words[1] == "-S" and len(words) > 2 else words[1]
    if name.startswith("-") or "=" in name or shutil.which(name, path=places) is not None:
        return
    raise unusable(
        f"is a script, and its interpreter {name!r}, which {words[0]} looks for, is not on the PATH ({places})",
        f"install {name}, or change the first line of {path}",
    )


def explain_exec(path: str, name: str, cwd: str, number: int) -> ProgramUnusable:
    """The error for an exec that failed with this errno although the file looked well."""
    try:
        check(path, name)
        if number in (errno.EACCES, errno.ENOENT) and not os.path.isdir(cwd):
            find(name, {}, cwd)
    except ProgramUnusable as error:
        return error
    loader = " (the loader that the binary names may be missing)" if number == errno.ENOENT else ""
    return ProgramUnusable(
        f"program {name!r} cannot be executed: {path}: {os.strerror(number)}{loader}",
        where=path,
        next="run it by hand to see more",
    )


def debian_paths() -> list[str]:
    """Folders of Debian's versioned servers, newest first, for PATH: /usr/lib/postgresql/15/bin."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return [
        str(path)
        for path in sorted(
            found, key=lambda path: [int(n) if n.isdigit() else 0 for n in path.parent.name.split(".")], reverse=True
        )
    ]
