"""The kernel's side of epoll: the set, its entries, and the list of those that are ready.

Owns which entry is reported when, and in which order (fs/eventpoll.c: `ep_poll_callback`, `ep_send_events`). The
objects that programs hold are in `readiness`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from wavetank.kernel.file import ERR, HUP, IN, RDNORM, File

ET: Final = 1 << 31
ONESHOT: Final = 1 << 30
EXCLUSIVE: Final = 1 << 28
WAKEUP: Final = 1 << 29
PRIVATE: Final = ET | ONESHOT | EXCLUSIVE | WAKEUP


class Item:
    """One registered descriptor of an epoll set (`struct epitem`)."""

    __slots__ = ("events", "fd", "file", "flags", "listed", "owner")

    def __init__(self, owner: EpollFile, fd: int, file: File, mask: int) -> None:
        self.owner = owner
        self.fd = fd
        self.file = file
        self.listed = False
        self.watch(mask)

    def watch(self, mask: int) -> None:
        """What to report from now on, and how (`EPOLLET`, `EPOLLONESHOT`). Errors always are."""
        self.events = ((mask & 0xFFFFFFFF) | ERR | HUP) & ~PRIVATE
        self.flags = mask & PRIVATE

    def notified(self, events: int) -> None:
        """`ep_poll_callback`. After a one-shot report nothing is wanted, not even errors."""
        if events & self.events and not self.listed:
            self.listed = True
            owner = self.owner
            owner.ready.append(self)
            if owner.waiters or owner.watchers:
                owner.notify(IN | RDNORM)

    def file_gone(self) -> None:
        """The last descriptor of the file was closed: it leaves the set by itself."""
        self.owner.items.pop((self.fd, self.file), None)
        if self.listed:
            self.listed = False
            self.owner.ready.remove(self)


class EpollFile(File):
    """The kernel's side of an epoll set: it can be polled itself."""

    __slots__ = ("items", "ready")

    def __init__(self) -> None:
        super().__init__("epoll")
        self.items: dict[tuple[int, File], Item] = {}
        self.ready: deque[Item] = deque()

    def poll(self) -> int:
        """Readable when an entry is ready."""
        ready = self.ready
        while ready:  # what is ready no more leaves the list here, too (`__ep_eventpoll_poll`)
            if ready[0].file.poll() & ready[0].events:
                return IN | RDNORM
            ready.popleft().listed = False
        return 0

    def released(self) -> None:
        """Leave every file."""
        for item in self.items.values():
            if item in item.file.watchers:
                item.file.watchers.remove(item)
        self.items.clear()
        self.ready.clear()

    def watched(self) -> set[File]:
        """Everything in this set, and in the sets in it."""
        found: set[File] = set()
        for _, file in self.items:
            found.add(file)
            if isinstance(file, EpollFile):
                found |= file.watched()
        return found

    def collect(self, limit: int) -> list[tuple[int, int]]:
        """`ep_send_events`: at most `limit` ready entries."""
        found: list[tuple[int, int]] = []
        ready = self.ready
        for _ in range(len(ready)):
            item = ready.popleft()
            events = item.file.poll() & item.events
            if not events:
                item.listed = False
                continue
            found.append((item.fd, events))
            if item.flags & (ET | ONESHOT):
                item.listed = False
                if item.flags & ONESHOT:
                    item.events = 0
            else:
                ready.append(item)
            if len(found) == limit:
                break
        return found

    def describe(self) -> str:
        """What is watched."""
        names = [item.file.describe() for item in list(self.items.values())[:5]]
        more = f" and {len(self.items) - 5} more" if len(self.items) > 5 else ""
        return f"epoll on {', '.join(names) or 'nothing'}{more}"

    def __str__(self) -> str:  # what a thread in epoll_wait gives as its reason
        return self.describe()
