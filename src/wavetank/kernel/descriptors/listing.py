"""What `os.scandir` gives: the real entries, with the times that the world shows, and one for each socket file.

Owns these two types and nothing of the disk. A folder of which there is nothing to add is given by the real iterator,
whose entries are `os.DirEntry`; nobody can make more of that type, so ours say that they are (`isinstance` believes
it) and have the same members.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

from wavetank.kernel.descriptors.filetimes import Entry
from wavetank.kernel.unix.files import SocketFile


class SocketEntry:
    """One socket file; the members are those of `os.DirEntry`."""

    __slots__ = ("_file", "name", "path")
    __class__ = os.DirEntry  # type: ignore[assignment]  # what `isinstance` asks besides the type

    def __init__(self, name: Any, path: Any, file: SocketFile) -> None:
        self.name = name
        self.path = path
        self._file = file

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle 'posix.DirEntry' object")

    def inode(self) -> int:
        """The number that `stat` gives."""
        return self._file.number

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """As of `os.stat`; it is no link."""
        return self._file.status()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """No."""
        return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """No: that is a regular file."""
        return False

    def is_symlink(self) -> bool:
        """No."""
        return False

    def is_junction(self) -> bool:
        """No (Windows has these)."""
        return False


class Entries:
    """The iterator: what the real one gives, then the socket files."""

    def __init__(self, real: Any, more: list[SocketEntry]) -> None:
        self._real = real
        self._more = more

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        for entry in self._real:
            return Entry(entry)
        if not self._more:
            raise StopIteration
        return self._more.pop(0)

    def __enter__(self) -> Entries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """No more entries."""
        self._real.close()
        self._more.clear()
