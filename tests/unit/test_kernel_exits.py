"""What is done at exit by modules that all processes share: only where no other process can suffer from it."""

from pathlib import Path

from tests.support.worlds import Worlds, stdout_of
from wavetank.world.job import HostScript, Target

MODULE = """
import atexit
active = []
@atexit.register
def stop_all():
    print("stopped", active)
"""
PROGRAM = """
import atexit, sys, time
import library
library.active.append("{name}")
atexit.register(print, "my own")
time.sleep({seconds})
print(library.active)
"""


def run(folder: Path, **seconds: int) -> list[list[str]]:
    (folder / "library.py").write_text(MODULE)
    scripts = []
    for name, each in seconds.items():
        path = folder / f"{name}.py"
        path.write_text(PROGRAM.format(name=name, seconds=each))
        scripts.append(HostScript(host=name, path=str(path)))
    worlds = Worlds(Target(label="scripts", scripts=tuple(scripts)))
    try:
        result = worlds.run()
    finally:
        worlds.close()
    assert result.failure is None, result.failure
    return [stdout_of(result, f"{name}/{name}").splitlines() for name in seconds]


def test_a_process_that_is_alone_ends_as_usual(tmp_path: Path) -> None:
    assert run(tmp_path, one=1) == [["['one']", "my own", "stopped ['one']"]]


def test_a_module_shared_by_several_processes_does_not_end_the_others_work(tmp_path: Path) -> None:
    both = "['one', 'other']"
    assert run(tmp_path, one=1, other=2) == [[both, "my own"], [both, "my own"]]
