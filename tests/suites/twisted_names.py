"""Twisted's own tests with Twisted's doubles and with ours: `python -m tests.suites.twisted_names [MODULE...]`.

`--page FILE` writes the table. Without modules: `MODULES`, which are all of Twisted's that use the names of
`twisted.internet.testing`. Wants `pip install 'twisted[conch,http2,tls,websocket]' pyhamcrest httpx`: without these
many tests are skipped, on both sides. What counts is that each test has the same outcome on both.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

SCRIPT = Path(__file__).with_name("twisted_script.py")
SIDES = ("theirs", "ours")
LIMIT_S = 900.0
_SINGLE = """application.runner.test.test_runner application.test.test_internet application.twist.test.test_options
    application.twist.test.test_twist internet.test.test_endpoints internet.test.test_fakes internet.test.test_protocol
    internet.test.test_tcp internet.test.test_testing names.test.test_client names.test.test_dns names.test.test_names
    names.test.test_srvconnect runner.test.test_procmon spread.test.test_banana spread.test.test_jelly
    spread.test.test_pb test.test_amp test.test_application test.test_finger test.test_ftp test.test_ident
    test.test_iosim test.test_memcache test.test_policies test.test_postfix test.test_socks test.test_ssl test.test_tcp
    test.test_twistd trial._dist.test.test_disttrial trial._dist.test.test_workertrial web.test.test_agent
    web.test.test_distrib web.test.test_http2 web.test.test_httpauth web.test.test_newclient web.test.test_proxy
    web.test.test_template web.test.test_web web.test.test_websocket web.test.test_wsgi web.test.test_xmlrpc"""
#: Those that the doubles were asked to pass, then the others that use the names.
MODULES = (
    "twisted.test.test_protocols",
    "twisted.protocols",
    "twisted.web.test.test_http",
    "twisted.words",
    "twisted.mail",
    "twisted.conch",
    *(f"twisted.{name}" for name in _SINGLE.split()),
)
HEAD = """# Twisted's own tests with the doubles of Wavetank

Test modules of Twisted under trial: as they are, and with `StringTransport`, `AccumulatingProtocol`, `MemoryReactor`
and all other names of `twisted.internet.testing` replaced by those of `wavetank.doubles.tx` before the import.
A test that fails on both sides fails for a reason of its own (an OpenSSH or a Python that it does not know).
"""


@dataclass
class Comparison:
    """One module, on both sides: the outcome of each test, and why."""

    module: str
    theirs: dict[str, tuple[str, str]]
    ours: dict[str, tuple[str, str]]

    @property
    def different(self) -> dict[str, str]:
        """Tests whose outcome is another with our doubles."""
        nothing = ("not run", "")
        pairs = {
            name: (self.theirs.get(name, nothing), self.ours.get(name, nothing))
            for name in {**self.theirs, **self.ours}
        }
        return {
            name: f"{before} -> {after}: {why}"
            for name, ((before, _), (after, why)) in pairs.items()
            if before != after
        }


def run(side: str, module: str) -> dict[str, tuple[str, str]]:
    """The outcomes of a module on one side."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        command = [sys.executable, str(SCRIPT), side, module, str(results)]
        done = subprocess.run(command, cwd=folder, timeout=LIMIT_S, capture_output=True, text=True, check=False)
        if not results.exists():
            raise RuntimeError(f"{module} with {side} gave nothing\n{done.stderr}")
        rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {name: (outcome, why) for name, outcome, why in rows}


def compare(module: str) -> Comparison:
    """One module on both sides."""
    theirs, ours = (run(side, module) for side in SIDES)
    return Comparison(module, theirs, ours)


def counts(outcomes: dict[str, tuple[str, str]]) -> str:
    """As in `577 ok, 2 skip`."""
    found = Counter(outcome for outcome, _ in outcomes.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in found.most_common())


def page(comparisons: list[Comparison]) -> str:
    """The Markdown page."""
    lines = [
        HEAD,
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "- command: `python -m tests.suites.twisted_names --page docs/results/twisted-suites.md`",
        f"- Twisted {version('twisted')}, {platform.python_implementation()} {platform.python_version()}",
        "",
        "| module | with Twisted's | with ours | different |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {each.module} | {counts(each.theirs)} | {counts(each.ours)} | {len(each.different)} |"
        for each in comparisons
    ]
    alike = {name: outcome for each in comparisons for name, (outcome, _) in each.theirs.items()}
    ours = {name: outcome for each in comparisons for name, (outcome, _) in each.ours.items()}
    lines += [
        f"| all | {counts({name: (each, '') for name, each in alike.items()})}"
        f" | {counts({name: (each, '') for name, each in ours.items()})}"
        f" | {sum(len(each.different) for each in comparisons)} |",
        "",
    ]
    failing = sorted(name for name, outcome in alike.items() if {outcome, ours.get(name)} <= {"fail", "error"})
    if failing:
        lines += ["On both sides these fail:", "", *(f"- `{name}`" for name in failing), ""]
    return "\n".join(lines)


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    comparisons = []
    for module in given.modules:
        comparisons.append(found := compare(module))
        print(f"{module}: {counts(found.theirs)}; ours: {counts(found.ours)}", flush=True)
        for name, why in found.different.items():
            print(f"  {name}: {why}")
    if given.page:
        given.page.write_text(page(comparisons))
    sys.exit(any(each.different for each in comparisons))


if __name__ == "__main__":
    main()
