"""`import wavetank` is light: it takes well under 100 ms because it loads one module, its own.

Counted in modules, not in milliseconds: a count is the same on every machine and on every busy day.
"""

import json
import subprocess
import sys

NEW_MODULES = """
import json, sys
before = set(sys.modules)
import wavetank
{then}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def modules_loaded(then: str) -> set[str]:
    """What a fresh interpreter loads for `import wavetank` followed by the statement `then`."""
    # -I: neither the environment nor the current folder can add to the count.
    command = [sys.executable, "-I", "-c", NEW_MODULES.format(then=then)]
    return {*json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)}


def test_the_import_loads_nothing_but_the_door() -> None:
    assert modules_loaded("pass") == {"wavetank"}


def test_the_version_and_the_list_of_names_load_nothing_more() -> None:
    assert modules_loaded("wavetank.__version__, dir(wavetank)") == {"wavetank"}


def test_the_count_would_see_a_heavy_import() -> None:
    assert modules_loaded("import asyncio") >= {"asyncio", "ssl", "socket"}
