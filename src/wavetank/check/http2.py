"""How a peer reads HTTP/2: stream by stream, whatever the order of streams among each other.

Owns the way from the bytes that an HTTP/2 endpoint has written to what is compared. It must never judge them: what is
no frame stays as it is, as the last entry.

The idea: RFC 9113 leaves open in which order frames of different streams are sent, how a body is cut into DATA frames,
and how window updates are shared out. What a peer can rely on is, for each stream, its headers (decoded: HPACK has a
state of its own, RFC 7541), its body and its end; and for the connection the sums.
"""

from __future__ import annotations

from typing import Any, Final

from wavetank.errors import EnvironmentProblem

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: RFC 9113 section 6, the types of frames; others are told by their number.
_NAMES: Final = {0: "DATA", 1: "HEADERS", 2: "PRIORITY", 3: "RST_STREAM", 4: "SETTINGS", 5: "PUSH_PROMISE", 6: "PING",
                 7: "GOAWAY", 8: "WINDOW_UPDATE", 9: "CONTINUATION"}  # fmt: skip
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY, _ACK = 0x1, 0x4, 0x8, 0x20, 0x1


def read(output: bytes) -> dict[str, list[Any]]:
    """What each stream, and the connection, was told: `{"stream 1": [("HEADERS", [...]), ("DATA", b"..."), ...]}`.

    Bodies are joined, header blocks decoded, window updates added up; the connection's frames are in order. Bytes that
    make no whole frame are under "rest". Raises `EnvironmentProblem` without the library hpack.
    """
    return _Reader().read(output)


class _Reader:
    """One connection in one direction."""

    def __init__(self) -> None:
        try:
            from hpack import Decoder
        except ImportError:
            raise EnvironmentProblem(
                "headers of HTTP/2 are decoded by the library hpack, and it is not installed", next="pip install hpack"
            ) from None
        self._decoder = Decoder()
        self._told: dict[str, list[Any]] = {}
        self._windows: dict[str, int] = {}
        self._block = b""

    def read(self, output: bytes) -> dict[str, list[Any]]:
        """All of it."""
        at = len(_PREFACE) if output.startswith(_PREFACE) else 0
        while len(output) - at >= 9:
            end = at + 9 + int.from_bytes(output[at : at + 3])
            if end > len(output):
                break
            number = int.from_bytes(output[at + 5 : at + 9]) & 0x7FFFFFFF
            self._frame(output[at + 3], output[at + 4], number, output[at + 9 : end])
            at = end
        if at < len(output):
            self._told["rest"] = [output[at:]]
        for name, total in self._windows.items():
            self._told.setdefault(name, []).append(("WINDOW_UPDATE in all", total))
        return self._told

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        name = f"stream {number}" if number else "connection"
        told = self._told.setdefault(name, [])
        word = _NAMES.get(kind, f"type {kind}")
        if word in ("DATA", "HEADERS", "PUSH_PROMISE") and flags & _PADDED and payload:
            payload = payload[1 : len(payload) - payload[0]]
        if word == "DATA":
            if told and told[-1][0] == "DATA":
                payload = told.pop()[1] + payload
            told.append(("DATA", payload))
        elif word == "WINDOW_UPDATE":
            self._windows[name] = self._windows.get(name, 0) + int.from_bytes(payload)
        elif word in ("HEADERS", "CONTINUATION", "PUSH_PROMISE"):
            self._headers(word, flags, told, payload)
        else:
            told.append((f"{word} acknowledged" if word in ("SETTINGS", "PING") and flags & _ACK else word, payload))
        if word in ("DATA", "HEADERS") and flags & _END_STREAM:
            told.append(("end",))

    def _headers(self, word: str, flags: int, told: list[Any], payload: bytes) -> None:
        if word == "HEADERS" and flags & _PRIORITY:
            payload = payload[5:]
        elif word == "PUSH_PROMISE":
            told.append(("PUSH_PROMISE", int.from_bytes(payload[:4])))
            payload = payload[4:]
        self._block += payload
        if flags & _END_HEADERS:
            block, self._block = self._block, b""
            try:
                told.append(("HEADERS", self._decoder.decode(block, raw=True)))
            except Exception as error:  # a block that cannot be decoded is told as it is
                told.append((f"HEADERS, {type(error).__name__}", block))
