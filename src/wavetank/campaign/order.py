"""What the parent tells an image to prepare, and what the image answers: records and their place in shared memory.

Owns the first megabyte of that memory; the slots behind it belong to `wavetank.world.mailbox`. Imported by both sides;
in the image only after the search path and the shims are in place.
"""

from __future__ import annotations

import mmap
import os

import msgspec

from wavetank import errors
from wavetank.campaign.image import ORDER_AT, ORDER_HEAD, PATH_AT
from wavetank.errors import UsageError, WavetankError
from wavetank.world.job import Target
from wavetank.world.mailbox import SLOTS_AT

#: The folder that holds the package `wavetank`: the image finds it here, installed or not.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(errors.__file__)))


class ImageOrder(msgspec.Struct, frozen=True):
    """What the image is to prepare. Nothing in it differs from day to day: the clock of a run starts with its plan.

    `runtime` and `shims` name the modules with `prepare` and `execute`, and with `install`. They are a seam: the tests
    of the image alone put small stand-ins there.
    """

    target: Target
    runtime: str = "wavetank.world.runtime"
    shims: str = "wavetank.kernel.shims"


class ImageReport(msgspec.Struct, frozen=True):
    """What the image has loaded: module names with their files, and whether its addresses are fixed."""

    modules: dict[str, str]
    fixed_addresses: bool


class Refusal(msgspec.Struct, frozen=True):
    """Why the image could not be prepared: the parts of a `WavetankError`, or the user's own error with its place."""

    kind: str
    what: str
    where: str = ""
    why: str = ""
    next: str = ""


def write_order(memory: mmap.mmap, order: ImageOrder, search_path: list[str]) -> None:
    """Lay out the order; `search_path` becomes the image's `sys.path`. Raises `UsageError` when it is too long."""
    path = "\0".join([_ROOT, *search_path]).encode("utf-8", "surrogateescape")
    data = msgspec.msgpack.encode(order)
    if len(path) > ORDER_AT - PATH_AT:
        raise UsageError("sys.path is too long", why=f"the limit is {ORDER_AT - PATH_AT:,} bytes of text")
    if len(data) > SLOTS_AT - ORDER_AT:
        raise UsageError("the script's arguments are too long", why=f"the limit is {SLOTS_AT - ORDER_AT:,} bytes")
    memory[PATH_AT : PATH_AT + len(path)] = path
    memory[ORDER_AT : ORDER_AT + len(data)] = data
    ORDER_HEAD.pack_into(memory, 0, len(path), len(data), 0)


def read_order(memory: mmap.mmap, size: int) -> ImageOrder:
    """The order in shared memory."""
    return msgspec.msgpack.decode(memory[ORDER_AT : ORDER_AT + size], type=ImageOrder)


def write_answer(memory: mmap.mmap, answer: ImageReport | Refusal) -> int:
    """Put the image's answer where the order was; returns its size in bytes."""
    data = msgspec.msgpack.encode(answer)
    if len(data) > SLOTS_AT - ORDER_AT:
        short = ImageReport({}, True) if isinstance(answer, ImageReport) else Refusal(answer.kind, answer.what[:1000])
        data = msgspec.msgpack.encode(short)
    memory[ORDER_AT : ORDER_AT + len(data)] = data
    return len(data)


def read_report(memory: mmap.mmap, size: int) -> ImageReport:
    """The image's report."""
    return msgspec.msgpack.decode(memory[ORDER_AT : ORDER_AT + size], type=ImageReport)


def read_refusal(memory: mmap.mmap, size: int) -> WavetankError:
    """The error to raise for a refusal: the same class when it was one of ours."""
    refusal = msgspec.msgpack.decode(memory[ORDER_AT : ORDER_AT + size], type=Refusal)
    kind = getattr(errors, refusal.kind, UsageError)
    if kind not in (errors.EnvironmentProblem, errors.NothingToRun, errors.InternalError):
        kind = UsageError
    error: WavetankError = kind(refusal.what, where=refusal.where, why=refusal.why, next=refusal.next)
    return error
