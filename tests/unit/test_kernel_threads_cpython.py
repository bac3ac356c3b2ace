"""CPython's own tests of threads, locks, conditions, queues and thread-locals, run by simulated threads."""

# The body travels as source to another interpreter: it imports inside.

from importlib.util import find_spec
from typing import Any

import pytest

from tests.unit.kernel_harness import simulated

#: What a test's source may not name: it would start real processes, or look at real threads through C.
NOT_SIMULATED = ("assert_python", "fork", "subprocess", "script_helper", "interpreters", "_testcapi", "_testinternal",
                 "SetAsyncExc", "signal.", "Popen", "settrace", "setprofile", "global_shutdown_lock")  # fmt: skip

SUITES = {
    "test.test_thread": ("ThreadRunningTests", "BarrierTest", "LockTests"),
    "test.test_threading": (
        "ThreadTests", "ThreadingExceptionTests", "ThreadRunFail", "ExceptHookTests", "TimerTests", "LockTests",
        "PyRLockTests", "CRLockTests", "ConditionAsRLockTests", "EventTests", "ConditionTests", "SemaphoreTests",
        "BoundedSemaphoreTests", "BarrierTests",
    ),
    "test.test_threading_local": ("ThreadLocalTest",),
    "test.test_queue": ("CQueueTest", "CLifoQueueTest", "CPriorityQueueTest", "CSimpleQueueTest", "CFailingQueueTest"),
    "test.test_importlib.test_threaded_import": ("ThreadedImportTests",),
    "test.test_concurrent_futures.test_thread_pool": ("ThreadPoolExecutorTest",),
    "test.test_concurrent_futures.test_wait": ("ThreadPoolWaitTests",),
    "test.test_concurrent_futures.test_as_completed": ("ThreadPoolAsCompletedTest",),
    "test.test_concurrent_futures.test_init": ("ThreadPoolInitializerTest",),
    "test.test_concurrent_futures.test_shutdown": ("ThreadPoolShutdownTest",),
}  # fmt: skip


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def run_suite(module: str, classes: tuple[str, ...], forbidden: tuple[str, ...]) -> Any:
    import importlib
    import inspect
    import io
    import sys
    import unittest

    loaded = importlib.import_module(module)
    suite = unittest.TestSuite()
    for name in classes:
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(getattr(loaded, name)):
            source = inspect.getsource(getattr(test, test._testMethodName))
            if not any(word in source for word in forbidden):
                suite.addTest(test)
    output, sys.stdout = sys.stdout, io.StringIO()
    result = unittest.TextTestRunner(io.StringIO()).run(suite)
    sys.stdout = output
    return result.testsRun, [f"{test}\n{text}" for test, text in result.failures + result.errors]


@pytest.mark.parametrize("module", SUITES)
def test_they_pass(module: str) -> None:
    if not is_installed(module):
        pytest.skip(f"this Python comes without {module}")
    count, failures = simulated(run_suite, module, SUITES[module], NOT_SIMULATED, faces=("time", "threads"))
    assert not failures, "\n".join(failures)
    assert count > 0
