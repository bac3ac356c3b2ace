"""The rows: real bugs of released libraries, with the pins of the release that has one and of the one that does not.

Owns the table, and how an environment is made from a row. A row needs nothing but PyPI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Side = Literal["buggy", "fixed"]
TOP = Path(__file__).parents[3]


@dataclass(frozen=True)
class Row:
    """One bug: its name, the module of its subject, the packages of both sides.

    `common`: on both sides. `first`: installed before, when the packages are built without isolation. `without_c`: C
    extensions that do not compile any more are left out. `fixed_may_fail`: the release that repaired it has another bug
    of the kind.
    """

    name: str
    module: str
    buggy: tuple[str, ...]
    fixed: tuple[str, ...]
    common: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    without_c: bool = False
    fixed_may_fail: bool = False


_AIOHTTP = (
    "aiohappyeyeballs==2.7.1", "aiosignal==1.4.0", "attrs==26.1.0", "frozenlist==1.8.0", "idna==3.20",
    "multidict==6.9.1", "propcache==0.5.4", "typing_extensions==4.16.0", "yarl==1.25.1",
)  # fmt: skip
_HYPERCORN = (
    "h11==0.9.0", "h2==3.2.0", "hpack==3.0.0", "hyperframe==5.2.0", "priority==1.3.0", "wsproto==0.15.0",
    "toml==0.10.2", "typing_extensions==4.13.2",
)  # fmt: skip
_TWISTED = (
    "attrs==26.1.0", "Automat==25.4.16", "constantly==23.10.4", "hyperlink==21.0.0", "idna==3.20",
    "incremental==24.11.0", "packaging==26.3", "typing_extensions==4.16.0", "zope.interface==8.7",
)  # fmt: skip
_OLD_TWISTED = (
    "Automat==22.10.0", "constantly==15.1.0", "zope.interface==6.4.post2", "hyperlink==21.0.0", "attrs==21.4.0",
    "idna==3.4", "incremental==17.5.0", "six==1.16.0", "PyHamcrest==1.10.1",
)  # fmt: skip
_OLD_TWISTED_H2 = (
    "Automat==22.10.0", "constantly==15.1.0", "zope.interface==6.4.post2", "hyperlink==21.0.0", "attrs==21.4.0",
    "idna==3.4", "incremental==17.5.0", "six==1.16.0", "PyHamcrest==1.10.1", "h2==3.2.0", "priority==1.3.0",
    "hpack==3.0.0", "hyperframe==5.2.0",
)  # fmt: skip

ROWS = (
    Row(
        "uvicorn-h11-pipeline-keepalive",
        "uvicorn_h11",
        ("uvicorn==0.27.0.post1",),
        ("uvicorn==0.27.1",),
        (
            "click==8.5.1",
            "h11==0.14.0",
        ),
    ),
    Row("pymodbus-joined-requests", "pymodbus_server", ("pymodbus==3.6.3",), ("pymodbus==3.6.6",), ()),
    Row("pymodbus-split-frame", "pymodbus_client", ("pymodbus==3.6.2",), ("pymodbus==3.6.3",), ()),
    Row("aiohttp-ws-split-masked-frame", "aiohttp_ws", ("aiohttp==3.11.17",), ("aiohttp==3.11.18",), _AIOHTTP),
    Row("aiohttp-pipeline-unbounded", "aiohttp_pipeline", ("aiohttp==3.14.0",), ("aiohttp==3.14.1",), _AIOHTTP),
    Row("aiohttp-chunk-crlf-split", "aiohttp_chunked", ("aiohttp==3.10.3",), ("aiohttp==3.12.14",), _AIOHTTP),
    Row("aiohttp-paused-keepalive", "aiohttp_keepalive", ("aiohttp==3.11.10",), ("aiohttp==3.11.11",), _AIOHTTP),
    Row(
        "aiosmtpd-starttls-injection",
        "aiosmtpd_starttls",
        ("aiosmtpd==1.4.5",),
        ("aiosmtpd==1.4.6",),
        (
            "atpublic==9.0.0",
            "attrs==26.1.0",
        ),
    ),
    Row(
        "hypercorn-half-close",
        "hypercorn_h11",
        ("Hypercorn==0.9.4",),
        ("Hypercorn==0.9.5",),
        _HYPERCORN,
        fixed_may_fail=True,
    ),
    Row("nats-eof-connecting", "nats_client", ("nats-py==2.11.0",), ("nats-py==2.12.0",), ()),
    Row(
        "tornado-close-midread",
        "tornado_lines",
        ("tornado==6.0.3",),
        ("tornado==6.0.4",),
        (),
        first=(
            "setuptools==57.5.0",
            "wheel==0.37.1",
        ),
    ),
    Row("twisted-http-pipeline-order", "twisted_http", ("Twisted==24.3.0",), ("Twisted==24.7.0",), _TWISTED),
    Row(
        "twisted-linereceiver-delimiter-split",
        "twisted_lines",
        ("Twisted==17.9.0",),
        ("Twisted==18.4.0",),
        _OLD_TWISTED,
        first=(
            "setuptools==57.5.0",
            "wheel==0.37.1",
            "incremental==17.5.0",
        ),
        without_c=True,
    ),
    Row(
        "twisted-http2-control-flood",
        "twisted_http2",
        ("Twisted==19.7.0",),
        ("Twisted==19.10.0",),
        _OLD_TWISTED_H2,
        first=(
            "setuptools==57.5.0",
            "wheel==0.37.1",
            "incremental==17.5.0",
        ),
        without_c=True,
    ),
    Row("asyncio-writelines-unbounded", "asyncio_writelines", (), (), ()),
)


def environment(row: Row, side: Side, folder: Path, made_by: str = sys.executable) -> Path:
    """The Python of the environment for one side of a row, made in `folder` unless it is there."""
    home = folder / f"{row.name}-{side}"
    python = home / "bin" / "python"
    if (home / "ok").exists():
        return python
    subprocess.run([made_by, "-m", "venv", "--clear", str(home)], check=True, timeout=120)
    if row.first:
        _install(python, row.first, os.environ)
    variables = dict(os.environ, CC="true", LDSHARED="true") if row.without_c else os.environ
    _install(python, (*(("--no-build-isolation",) if row.first else ()), *getattr(row, side), *row.common), variables)
    _install(python, tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"], os.environ)
    (home / "ok").touch()
    return python


def _install(python: Path, what: object, variables: object) -> None:
    assert isinstance(what, (tuple, list))
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *what],
        check=True,
        timeout=900,
        env=dict(variables),  # type: ignore[call-overload]
    )
