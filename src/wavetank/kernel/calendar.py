"""The present as `datetime` gives it: `now`, `utcnow` and `today` in virtual time.

Owns the three class methods of `datetime.datetime` and `datetime.date` that read the clock. They are put into the
types themselves, which are C code, so that `datetime.datetime` stays the type it is: `isinstance`, pickles and names
imported long before go on working, and what is returned is a real `datetime`. (`date.today` and `datetime.today` need
no replacement: they call `time.time`, CPython Modules/_datetimemodule.c, `date_today`.)

The time zone of a naive result is UTC. Subclasses get instances of their own, made through their
constructor, as `new_datetime_subclass_fold_ex` does.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import sys
import warnings
from typing import Any, Final

from wavetank.kernel.clock import wall_ns

_DAY_NS: Final = 86_400_000_000_000
_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
#: CPython 3.12 and later, Modules/_datetimemodule.c, `datetime_utcnow`.
_UTCNOW_WARNING: Final = (
    "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. "
    "Use timezone-aware objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC)."
)


def _present(cls: type[datetime.datetime], tz: Any) -> datetime.datetime:
    day, rest = divmod(wall_ns(), _DAY_NS)
    seconds, nanoseconds = divmod(rest, 1_000_000_000)
    date = datetime.date.fromordinal(_EPOCH_DAY + day)
    hour, minute = divmod(seconds // 60, 60)
    # Microseconds are cut off, not rounded: _PyTime_ROUND_FLOOR in `datetime_best_possible`.
    microsecond = nanoseconds // 1000
    return cls(date.year, date.month, date.day, hour, minute, seconds % 60, microsecond, tz)


def _now(cls: type[datetime.datetime], tz: Any = None) -> datetime.datetime:
    """The present by the host's wall clock: naive, in UTC, or in the zone `tz`."""
    moment = _present(cls, tz)
    return moment if tz is None else tz.fromutc(moment)


def _utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
    """The present in UTC, without a zone."""
    if sys.version_info >= (3, 12):
        warnings.warn(_UTCNOW_WARNING, DeprecationWarning, stacklevel=2)
    return _present(cls, None)


def install() -> None:
    """Put the methods into the type, whose dictionary Python only shows read-only."""
    (methods,) = gc.get_referents(datetime.datetime.__dict__)
    for name, function in (("now", _now), ("utcnow", _utcnow)):
        function.__name__ = name
        function.__qualname__ = f"datetime.{name}"
        methods[name] = classmethod(function)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
