"""A program of its own: runs one suite, `suite_script.py RESULTS MODULE [PATTERN...]`, simulated or not.

MODULE is a module of unittest or of trial, whose tests are tests of unittest, too, or a package of them; or `pytest:`
and what pytest is given (a file, or `--pyargs` and a module), with commas between. The current folder is where it is
looked for, then the installed packages.

Each line of RESULTS is one JSON list: `["start", test]`, or `["end", test, outcome, reason]` with outcome ok, skip or
fail. Tests that stand there already are left out, so that whoever started this can go on behind a test that hung.
"""

import faulthandler
import fnmatch
import importlib.util
import json
import logging
import os
import pkgutil
import re
import signal
import sys
import traceback
import unittest

RESOURCES = ("cpu",)
#: Real seconds for one test of the real system; in the simulator the oracles see a test that hangs.
LIMIT_S = float(os.environ.get("SUITE_LIMIT_S", "0"))
#: These want the resource "network" and use only loopback.
LOCAL = ("test.test_socketserver",)
TEST_MODULE = re.compile(r"\.(test_\w+|\w+_test)$")


class Refusals:
    """What the simulator refused during a test: a program may swallow the error, and fail by what is missing then."""

    def __init__(self):
        module = sys.modules.get("wavetank.kernel.refusals")
        self.counts = module.refused if module else {}
        self.before = {}

    def begin(self):
        self.before = dict(self.counts)

    def note(self, outcome, reason):
        names = [name for name, count in self.counts.items() if count != self.before.get(name, 0)]
        return (outcome, f"{reason}\nrefused during the test: {', '.join(names)}" if names else reason)


class Log(unittest.TestResult):
    """Writes what happens to a file, line by line."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.outcome = None
        self.refusals = Refusals()

    def write(self, *items):
        self.file.write(json.dumps(items) + "\n")

    def startTest(self, test):
        super().startTest(test)
        self.outcome = ("ok", "")
        self.refusals.begin()
        self.write("start", test.id())
        if LIMIT_S:
            faulthandler.dump_traceback_later(LIMIT_S, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        if self.outcome is not None:  # 3.12.1 stops tests of skipped classes that it has not started
            self.write("end", test.id(), *self.refusals.note(*self.outcome))
        self.outcome = None

    def note(self, test, outcome, reason):
        if self.outcome is None:  # the set-up of a class or module, which is no test
            self.write("end", test.id(), outcome, reason)
        elif self.outcome[0] != "fail":
            self.outcome = (outcome, reason)

    def addError(self, test, err):
        self.note(test, "fail", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)

    def addSkip(self, test, reason):
        if self.outcome is None or self.outcome[0] == "ok":
            self.note(test, "skip", reason)

    def addUnexpectedSuccess(self, test):
        self.note(test, "fail", "unexpected success")


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def modules(name):
    """The module itself; of a package that does not say what its tests are, all modules of tests."""
    try:
        package = importlib.import_module(name)
    except ImportError:
        return [name]  # a test in a module, or one that has to be reported
    if not hasattr(package, "__path__") or hasattr(package, "load_tests"):
        return [name]
    found = (each.name for each in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None))
    return sorted(each for each in found if TEST_MODULE.search(each))


def known(path):
    with open(path) as file:
        return {json.loads(line)[1] for line in file}


class Plugin:
    """The same for pytest: a test is set-up, call and tear-down."""

    def __init__(self, file, done, patterns):
        self.file = file
        self.done = done
        self.patterns = patterns
        self.outcomes = {}
        self.refusals = Refusals()

    def write(self, *items):
        self.file.write(json.dumps(items) + "\n")

    def pytest_collection_modifyitems(self, items):
        items[:] = [
            item
            for item in items
            if item.nodeid not in self.done
            and (not self.patterns or any(fnmatch.fnmatch(item.nodeid, f"*{each}*") for each in self.patterns))
        ]

    def pytest_collectreport(self, report):
        if report.failed:
            self.write("end", report.nodeid, "fail", str(report.longrepr))

    def pytest_runtest_logstart(self, nodeid, location):
        self.outcomes[nodeid] = ("ok", "")
        self.refusals.begin()
        self.write("start", nodeid)
        if LIMIT_S:
            faulthandler.dump_traceback_later(LIMIT_S, exit=True)

    def pytest_runtest_logreport(self, report):
        if report.failed and not hasattr(report, "wasxfail"):
            self.outcomes[report.nodeid] = ("fail", str(report.longrepr))
        elif report.skipped and self.outcomes[report.nodeid][0] == "ok":
            self.outcomes[report.nodeid] = ("skip", str(report.longrepr))

    def pytest_runtest_logfinish(self, nodeid, location):
        self.write("end", nodeid, *self.refusals.note(*self.outcomes.pop(nodeid)))


def run_pytest(path, given, patterns):
    import pytest

    without = ["cacheprovider", "randomly", "xdist", "wavetank"]
    limits = ["-otimeout=0"] if importlib.util.find_spec("pytest_timeout") else []  # of another's: it ends everything
    arguments = [
        *given.split(","),
        "-q",
        "-s",
        "--tb=short",
        "-o",
        "addopts=",
        *limits,
        *(f"-pno:{name}" for name in without),
    ]
    with open(path, "a", buffering=1) as file:
        pytest.main(arguments, plugins=[Plugin(file, known(path), patterns)])
        faulthandler.cancel_dump_traceback_later()
        file.write(json.dumps(["finished", "", ""]) + "\n")


def prepare_cpython(module):
    support = importlib.import_module("test.support")  # not above: other projects have a package `test` of their own
    resources = [*RESOURCES, *(["network"] if module in LOCAL else [])]
    support.use_resources = dict.fromkeys(resources) if sys.version_info >= (3, 14) else resources


def main(path, module, patterns):
    if module.startswith("pytest:"):
        run_pytest(path, module.removeprefix("pytest:"), patterns)
        return
    if module.startswith("test."):
        prepare_cpython(module)
    elif module.startswith("tornado."):
        logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # as tornado.test.runtests does
    done = known(path)
    sys.path.insert(0, os.getcwd())
    suite = unittest.TestSuite()
    broken = {}
    for each in modules(module):
        try:
            tests = list(flat(unittest.defaultTestLoader.loadTestsFromName(each)))
        except unittest.SkipTest as reason:
            broken[each] = ("skip", str(reason))
            continue
        except Exception:  # while it was imported; the others of its package go on
            broken[each] = ("fail", traceback.format_exc())
            continue
        for test in tests:
            name = test.id()
            if name not in done and (not patterns or any(fnmatch.fnmatch(name, f"*{each}*") for each in patterns)):
                suite.addTest(test)
    with open(path, "a", buffering=1) as file:
        for name in broken.keys() - done:
            file.write(json.dumps(["end", name, *broken[name]]) + "\n")
        suite.run(Log(file))
        file.write(json.dumps(["finished", "", ""]) + "\n")


signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
main(sys.argv[1], sys.argv[2], sys.argv[3:])
