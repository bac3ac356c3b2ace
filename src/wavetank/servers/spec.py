"""What a server is: the options of `ServerProcess`, checked, and the placeholders in them filled in.

Owns names, defaults and checks of options. Starts nothing.

Placeholders are `{port}`, `{socket}`, `{dir}`, `{host}` and `{fd}`, by exact text: other braces (JSON, nginx's
configuration, shell) stay as they are, and only a near miss such as `{prot}` is refused.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from wavetank.errors import UsageError, did_you_mean
from wavetank.servers import address, launcher, output
from wavetank.servers.probes import Probe, named

#: What may stand in a command, in values of `env` and in `files`.
PLACEHOLDERS: Final = ("port", "socket", "dir", "host", "fd")
#: Variables that a server gets from this process's environment; the rest is left out, so that a developer's settings
#: do not decide how a server behaves. `pass_env` names more.
KEPT_VARIABLES: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR",
    "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_*",
)  # fmt: skip
#: The variable that marks our servers; its value is the run and the number of the server in it.
MARKER: Final = "WAVETANK_SERVER"
STDIN: Final = ("null", "pipe", "terminal")

Readiness = str | re.Pattern[str] | Callable[[Any], Any]
#: Looks for a line of output.
Condition = Probe | re.Pattern[str] | Callable[[Any], Any]


@dataclass(kw_only=True)
class Spec:
    """The options; see `ServerProcess` for what each means."""

    command: Sequence[str]
    name: str = ""
    ready: Readiness | Iterable[Readiness] | None = None
    timeout: float = 30.0
    host: str = "127.0.0.1"
    port: int | None = None
    socket: str | None = None
    cwd: str | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    pass_env: Sequence[str] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    user: str | None = None
    stdin: str = "null"
    stop_signal: int = signal.SIGTERM
    stop_command: Sequence[str] | None = None
    stop_input: bytes | None = None
    stop_timeout: float = 5.0
    exit_codes: Sequence[int] | None = None
    daemon: bool = False
    tries: int = 5
    containment: str = launcher.RUNGS[0]
    output_limit: int = output.OUTPUT_LIMIT
    strict: bool = False
    check_descriptors: bool = False
    conditions: list[Condition] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.command = _words(self.command, "command")
        if self.stop_command is not None:
            self.stop_command = _words(self.stop_command, "stop_command")
        self.host = address.check_host(self.host)
        if self.port is not None:
            address.check_port(self.port)
        self._check_numbers()
        self._check_words()
        self.name = self.name or Path(self.command[0]).name
        self.stop_signal = signal.Signals(self.stop_signal)
        self.conditions = _conditions(self.ready)
        self._check_placeholders()

    def _check_numbers(self) -> None:
        for name in ("timeout", "stop_timeout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e6:
                raise UsageError(f"{name}={value!r} is not a length of time", next=f"give seconds, as in {name}=10.0")
        if self.tries < 1:
            raise UsageError(f"tries={self.tries!r} is no try at all", next="give 1 or more")
        if self.output_limit < 1:
            raise UsageError(f"output_limit={self.output_limit!r} keeps nothing", next="give bytes, as in 64 << 20")

    def _check_words(self) -> None:
        for name, known in (("stdin", STDIN), ("containment", launcher.RUNGS)):
            value = getattr(self, name)
            if value not in known:
                raise UsageError(
                    f"{name}={value!r} is unknown.{did_you_mean(str(value), known)}", next=f"one of {', '.join(known)}"
                )
        if self.stop_input is not None and self.stdin == "null":
            raise UsageError(
                "stop_input= needs an input to write to", next="stdin='pipe', or stdin='terminal' for a Ctrl-C byte"
            )

    def _check_placeholders(self) -> None:
        for text in self._texts():
            for word in re.findall(r"\{([A-Za-z_]+)\}", text):
                hint = "" if word in PLACEHOLDERS else did_you_mean(word.lower(), PLACEHOLDERS)
                if hint and len(word) > 2:
                    raise UsageError(
                        f"{{{word}}} is not a placeholder.{hint}", where=text,
                        next=f"the placeholders are {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}",
                    )  # fmt: skip
        if self.uses("fd") and self.wants_socket:
            raise UsageError("{fd} and {socket} together: the socket that is handed over is a TCP socket")
        if self.datagrams and self.wants_socket:
            raise UsageError(
                "ready='udp' and a UNIX socket: there is no UDP on it",
                next="ready='line:TEXT', or a callable that asks the server",
            )

    def _texts(self) -> list[str]:
        return [*self.command, *(self.stop_command or ()), *(value for value in self.env.values() if value)]

    def uses(self, placeholder: str) -> bool:
        """Whether this placeholder stands in the command, the environment or a file."""
        mark = f"{{{placeholder}}}"
        texts = [*self._texts(), *(text for text in self.files.values() if isinstance(text, str))]
        return any(mark in text for text in texts)

    @property
    def wants_port(self) -> bool:
        """Whether a port is named or to be found out before the start."""
        return self.port is not None or self.uses("port") or self.uses("fd")

    @property
    def wants_socket(self) -> bool:
        """Whether it listens on a UNIX socket of ours."""
        return self.socket is not None or (self.uses("socket") and not self.wants_port)

    @property
    def datagrams(self) -> bool:
        """Whether what it opens is a UDP socket alone: no probe of those asked for is about a listener."""
        probes = [each for each in self.conditions if isinstance(each, Probe)]
        return bool(probes) and all(each.datagrams for each in probes)

    def account(self) -> pwd.struct_passwd | None:
        """The user to change to; None for the present one. Raises `UsageError`."""
        if self.user is None:
            return None
        try:
            found = pwd.getpwnam(self.user)
        except KeyError:
            raise UsageError(
                f"user {self.user!r} does not exist here", next="give another, or leave user= out"
            ) from None
        if found.pw_uid == os.geteuid():
            return None
        if os.geteuid() != 0:
            raise UsageError(f"only root can start a server as user {self.user!r}", next="leave user= out")
        return found

    def environment(self, marker: str, values: Mapping[str, str]) -> dict[str, str]:
        """The server's environment."""
        kept = (*KEPT_VARIABLES, *self.pass_env)
        found = {
            name: value for name, value in os.environ.items() if any(fnmatchcase(name, pattern) for pattern in kept)
        }
        for name, value in self.env.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = fill(value, values)
        found[MARKER] = marker
        return found


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders replaced."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _words(command: Sequence[str] | str, option: str) -> list[str]:
    if isinstance(command, str):
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"{option}={command!r} cannot be split into words: {error}") from None
    else:
        words = [os.fspath(word) for word in command]
    if not words or not words[0]:
        raise UsageError(
            f"{option} is empty", next="give the program and its arguments, as in ['redis-server', '--port', '{port}']"
        )
    for word in words:
        if not isinstance(word, str):
            raise UsageError(f"{option}: {word!r} is not text")
        if "\0" in word:
            raise UsageError(f"{option}: {word!r} has a zero byte in it")
    return words


def _conditions(ready: Any) -> list[Condition]:
    """What must hold for "ready": from the option's words, patterns and callables."""
    if ready is None:
        return [named("tcp")]
    single = isinstance(ready, str | re.Pattern) or callable(ready) or not isinstance(ready, Iterable)
    given = [ready] if single else [*ready]
    found: list[Condition] = []
    for each in given:
        if isinstance(each, str) and each.startswith("line:"):
            found.append(re.compile(re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", each[5:])))
        elif isinstance(each, str):
            found.append(named(each))
        elif isinstance(each, re.Pattern) and isinstance(each.pattern, bytes):
            found.append(re.compile(each.pattern.decode("latin-1")))
        elif isinstance(each, re.Pattern) or callable(each):
            found.append(each)
        else:
            raise UsageError(f"ready={each!r} is neither a name, a pattern nor a callable")
    return found
