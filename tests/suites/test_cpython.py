"""CPython's own suites pass inside the simulator, as far as docs/results/cpython-suites.md says."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from tests.suites.cpython import MODULES, compare

#: The least share of what passes on the real system, where it is not all: these suites start processes.
SHARES = {
    "test.test_select": 0.8,
    "test.test_socket": 0.99,
    "test.test_signal": 0.45,
    "test.test_socketserver": 0.7,
    "test.test_time": 0.98,
    "test.test_ftplib": 0.98,
    "test.test_urllib2": 0.98,
    "test.test_fileio": 0.98,
    "test.test_asyncore": 0.95,
    "test.test_thread": 0.95,
    "test.test_threading": 0.8,
    "test.test_logging": 0.96,
    "test.test_io": 0.97,
    "test.test_fcntl": 0.75,
    "test.test_random": 0.98,
    "test.test_uuid": 0.7,
    "test.test_tempfile": 0.94,
    "test.test_coroutines": 0.98,
    "test.test_asyncio.test_streams": 0.98,
    "test.test_asyncio.test_events": 0.84,
    "test.test_asyncio.test_base_events": 0.99,
    "test.test_asyncio.test_tasks": 0.99,
    "test.test_asyncio.test_unix_events": 0.96,
}


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


@pytest.mark.long
@pytest.mark.parametrize("module", MODULES)
def test_suite(module: str, record_property: Callable[[str, object], None]) -> None:
    if not is_installed(module):
        pytest.skip(f"this Python comes without {module}")
    comparison = compare(module)
    passed, of = len(comparison.passed), len(comparison.passed_real)
    record_property("passed", f"{passed} of {of}")
    problems = "\n".join(f"{name}: {comparison.why(name)}" for name in comparison.different)
    assert passed >= SHARES.get(module, 1.0) * of, problems
