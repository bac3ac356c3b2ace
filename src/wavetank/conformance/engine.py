"""Runs the script of a case: step by step on one loop, with the words of streams.

Owns the verbs that need nothing but a transport or a socket. What a loop or a reactor must be asked for (connections,
datagrams, pipes, processes, servers) is the ground's, `ground_aio` and `ground_tx`, each a table of more verbs.

A script waits for what must come (`wait`, up to a limit) and settles before it says that something did not come: a
number of turns of the loop, each of which polls. Both ends are in one thread, so on the loopback what was sent is there
once `send` has returned.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from wavetank.conformance.actors import Log, Raw, Side, payload
from wavetank.conformance.case import LOOP, Case, Step, amount, read
from wavetank.conformance.wires import NotOffered

#: So many turns of the loop without any news are quiet.
_QUIET_TURNS: Final = 12
#: After these turns, one pause for what the kernel does by timers of its own (a delayed acknowledgement: 40 ms).
_QUIET_S: Final = 0.002
#: Between two looks whether it has come.
_LOOK_S: Final = 0.0005
#: What does not come in this time does not come.
WAIT_S: Final = 3.0

Verb = Callable[..., Any]


class Bench:
    """One run of one case.

    `ground` makes connections and turns the loop. `actors` are those that exist so far; `extra` is for the ground's own
    things (servers, folders). What a call of a script raises is noted as a token of who called.
    """

    def __init__(self, case: Case, ground: Any) -> None:
        self.case = case
        self.ground = ground
        self.actors: dict[str, Any] = {}
        self.logs: dict[str, Log] = {LOOP: Log()}
        self.extra: dict[str, Any] = {}
        self.script = read(case.script)
        self._done: set[tuple[str, str]] = set()
        self._verbs: Mapping[str, Verb] = {**VERBS, **ground.verbs}

    # --- actors ----------------------------------------------------------------------------------------------------

    def side(self, name: str) -> Side:
        """A stream protocol with this name; made when it is first asked for."""
        if name not in self.actors:
            made = self.ground.side(name, self.react)
            made.flows = "flow" in self.case.wants
            self.add(name, made)
        found: Side = self.actors[name]
        return found

    def add(self, name: str, actor: Any) -> Any:
        """Another actor; client and server, and whoever stands for one of them, send to each other."""
        self.actors[name] = actor
        self.logs[name] = actor.log
        ends = [each for each in ("client", "server", "raw") if each in self.actors]
        if len(ends) == 2:
            first, second = (self.logs[each] for each in ends)
            first.peer, second.peer = second, first
        return actor

    def log(self, name: str) -> Log:
        """The log of an actor, also of one that is only a name."""
        return self.logs.setdefault(name, Log())

    def trouble(self, error: BaseException | None, text: str = "") -> None:
        """Something that nobody handled."""
        self.logs[LOOP].add(f"reports {type(error).__name__}" if error is not None else f"reports {text}")

    # --- running ---------------------------------------------------------------------------------------------------

    async def run(self) -> dict[str, list[str]]:
        """Carry out the script; what each actor heard."""
        for step in self.script.steps:
            await self.carry_out(step)
        return {name: log.told() for name, log in self.logs.items()}

    def react(self, name: str, event: str) -> Any:
        """What the script says for this event, the first time it comes; the answer of the callback."""
        key = (name, event)
        if key in self._done:
            return self.extra.get(f"answer {name} {event}")
        self._done.add(key)
        answer = None
        for step in self.script.reactions.get(key, ()):
            if step.verb == "raise":
                raise _EXCEPTIONS[step.words[0]]("raised on purpose")
            if step.verb == "keep":
                answer = True
                self.extra[f"answer {name} {event}"] = True
                continue
            result = self._call(step)
            assert not inspect.isawaitable(result), f"{step} cannot be done inside a callback"
        return answer

    async def carry_out(self, step: Step) -> None:
        """One step."""
        result = self._call(step)
        if inspect.isawaitable(result):
            try:
                await result
            except NotOffered:
                raise
            except NotImplementedError:
                raise NotOffered(step.verb) from None
            except Exception as error:
                self.log(step.actor or LOOP).add(f"{step.verb} raises {type(error).__name__}")

    def _call(self, step: Step) -> Any:
        verb = self._verbs.get(step.verb)
        if verb is None:
            raise NotOffered(step.verb)
        try:
            return verb(self, step.actor, *step.words)
        except NotOffered:
            raise
        except Exception as error:
            self.log(step.actor or LOOP).add(f"{step.verb} raises {type(error).__name__}")
            return None

    async def turn(self) -> None:
        """One turn of the loop; sockets of the script's own move with it."""
        for actor in self.actors.values():
            if isinstance(actor, Raw) and actor.socket.fileno() >= 0:
                actor.pump()
        await self.ground.turn()

    def _news(self) -> tuple[Any, ...]:
        return tuple((len(log.tokens), log.received_bytes) for log in self.logs.values())

    async def settle(self) -> None:
        """Until nothing more happens."""
        quiet = 0
        slept = False
        before = self._news()
        while quiet < _QUIET_TURNS or not slept:
            if quiet >= _QUIET_TURNS:
                await self.ground.sleep(_QUIET_S)
                slept, quiet = True, 0
            await self.turn()
            now = self._news()
            quiet = quiet + 1 if now == before else 0
            before = now

    async def wait(self, name: str, token: str) -> None:
        """Until an actor has heard this: `data 5` so many bytes in all, else a token that begins so."""
        begun_s = self.ground.now()
        end_s = begun_s + WAIT_S
        while not self._has_heard(name, token):
            if self.ground.now() > end_s or self._is_refused(name, token):
                self.log(name).add(f"never {token}")
                return
            await self.turn()
            # What comes, comes soon; what has not come by then mostly does not, and is looked for less often.
            await self.ground.sleep(_LOOK_S if self.ground.now() - begun_s < 100 * _LOOK_S else 10 * _LOOK_S)

    def _is_refused(self, name: str, token: str) -> bool:
        """Whether these bytes cannot come, since the write of them was refused."""
        peer = self.log(name).peer
        return token.startswith("data ") and peer is not None and "write raises TypeError" in peer.tokens

    def _has_heard(self, name: str, token: str) -> bool:
        log = self.log(name)
        actor = self.actors.get(name)
        if actor is not None and hasattr(actor, "hang_up"):
            actor.read()
        if token == "data all":
            return log.peer is not None and log.received_bytes >= log.peer.sent_bytes
        if token.startswith("data "):
            return log.received_bytes >= amount(token.split()[1])
        return any(each.startswith(token) for each in log.told())


_EXCEPTIONS: Final = {
    "ZeroDivisionError": ZeroDivisionError,
    "OSError": OSError,
    "ConnectionError": ConnectionError,
    "KeyError": KeyError,
}


# --- verbs of streams --------------------------------------------------------------------------------------------


def _next(bench: Bench, name: str, count: int) -> bytes:
    log = bench.log(name)
    data = payload(log.sent_bytes, count)
    log.sent_bytes += count
    return data


def _write(bench: Bench, name: str, what: str, count: str = "") -> None:
    sent_bytes = bench.log(name).sent_bytes
    try:
        _write_some(bench, name, what, count)
    except TypeError:
        bench.log(name).sent_bytes = sent_bytes  # not for transports of this loop: nothing of it was taken
        raise


def _write_some(bench: Bench, name: str, what: str, count: str) -> None:
    wire = bench.actors[name].wire
    if not count:
        wire.write(_next(bench, name, amount(what)))
    elif what == "bytearray":
        wire.write(bytearray(_next(bench, name, amount(count))))
    elif what == "mutated":
        data = bytearray(_next(bench, name, amount(count)))
        wire.write(data)
        data[:] = bytes(len(data))
    elif what == "memoryview":
        wire.write(memoryview(_next(bench, name, amount(count))))
    elif what == "memoryview4":
        wire.write(memoryview(_next(bench, name, amount(count))).cast("I"))
    elif what == "sliced":
        wire.write(memoryview(_next(bench, name, amount(count)) + b"rest")[: amount(count)])
    elif what == "times":
        number, size = count.split("x")
        for _ in range(int(number)):
            wire.write(_next(bench, name, amount(size)))
    else:
        wire.write(_WRONG[count])


#: What is no bytes, for `write wrong`.
_WRONG: Final[dict[str, Any]] = {
    "text": "text", "none": None, "number": 5, "list": [1], "emptytext": "", "zero": 0, "emptylist": [],
}  # fmt: skip


def _mark(bench: Bench, name: str, word: str) -> None:
    bench.log(name).add(f"mark {word}")


def _limits_at(bench: Bench, name: str, word: str) -> None:
    """The high-water mark so many bytes over what is in the buffer now, the low one at 0."""
    transport = bench.actors[name].transport
    transport.set_write_buffer_limits(high=transport.get_write_buffer_size() + int(word), low=0)


def _writelines(bench: Bench, name: str, *counts: str) -> None:
    parts = [_next(bench, name, amount(count)) for count in counts if count != "generator"]
    bench.actors[name].wire.writelines(iter(parts) if "generator" in counts else parts)


def _limits(bench: Bench, name: str, *words: str) -> None:
    given = dict(word.split("=") for word in words)
    bench.actors[name].transport.set_write_buffer_limits(**{key: amount(value) for key, value in given.items()})


_QUESTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "is_reading": lambda transport: transport.is_reading(),
    "is_closing": lambda transport: transport.is_closing(),
    "can_write_eof": lambda transport: transport.can_write_eof(),
    "limits": lambda transport: "-".join(map(str, transport.get_write_buffer_limits())),
    "buffer": lambda transport: "0" if transport.get_write_buffer_size() == 0 else "more",
    "over_high": lambda transport: transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1],
    "has_protocol": lambda transport: transport.get_protocol() is not None,
}


def _ask(bench: Bench, name: str, question: str, *words: str) -> None:
    actor = bench.actors[name]
    try:
        if question == "extra":
            answer: Any = actor.wire.extra(words[0])
            answer = "missing" if answer is None else "there"
        elif question == "unknown_extra":
            answer = actor.transport.get_extra_info("no such thing", "default")
        else:
            answer = _QUESTIONS[question](actor.transport)
    except NotOffered:
        raise
    except Exception as error:
        answer = f"raises {type(error).__name__}"
    bench.log(name).add(f"{' '.join((question, *words))} {answer}")


def _plain(verb: str) -> Verb:
    def call(bench: Bench, name: str) -> None:
        getattr(bench.actors[name].wire, verb)()

    return call


def _raw(verb: str) -> Verb:
    def call(bench: Bench, name: str, *words: str) -> None:
        getattr(bench.actors[name], verb)(*(amount(word) for word in words))

    return call


async def _wait(bench: Bench, _: str, name: str, *token: str) -> None:
    await bench.wait(name, " ".join(token))


async def _settle(bench: Bench, _: str) -> None:
    await bench.settle()


def _garbage(bench: Bench, name: str, count: str) -> None:
    bench.actors[name].send_bytes(b"\x00" * amount(count))


#: The verbs that any ground has.
VERBS: Final[dict[str, Verb]] = {
    "write": _write,
    "writelines": _writelines,
    "set_limits": _limits,
    "limits_at": _limits_at,
    "mark": _mark,
    "ask": _ask,
    "wait": _wait,
    "settle": _settle,
    **{name: _plain(name) for name in ("close", "abort", "write_eof", "pause_reading", "resume_reading")},
    **{name: _raw(name) for name in ("send", "read", "shutdown", "reset", "close_notify", "hang_up")},
    "garbage": _garbage,
}
