"""The image and its parent, with a runtime that does only what each test asks for."""

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wavetank
from wavetank.campaign.order import ImageOrder
from wavetank.campaign.runner import CAPTURE_BYTES, Image
from wavetank.errors import InternalError, NothingToRun, UsageError
from wavetank.kernel.descriptors import private
from wavetank.plan import Plan
from wavetank.world.job import Job, RunResult, Target

ROOT = str(Path(__file__).parents[2])
RUNTIME = "tests.support.fake_runtime"
SHIMS = "tests.support.fake_shims"

Open = Callable[..., Image]


def job(seed: int = 0, choices: dict[str, int] | None = None, **fields: Any) -> Job:
    fields = {"cwd": "/", "environment": {"TEST_WORD": "hé"}} | fields
    return Job(target=Target(label=""), plan=Plan(seed=seed, choices=choices), **fields)


def image_for(doing: str, *, module: str = "", workers: int = 1, path: str = "") -> Image:
    target = Target(label=doing, function=doing, module=module)
    front = [path] if path else []
    return Image(ImageOrder(target, RUNTIME, SHIMS), [*front, ROOT, *filter(None, sys.path)], workers=workers)


@pytest.fixture
def opened() -> Iterator[Open]:
    images: list[Image] = []

    def open_image(doing: str, **more: Any) -> Image:
        images.append(image_for(doing, **more))
        return images[-1].__enter__()

    yield open_image
    for image in images:
        image.close()


def said(result: RunResult) -> str:
    return result.outputs[0].stdout


def test_a_job_comes_back_as_a_result(opened: Open) -> None:
    result = opened("echo").run(job(5, cwd="/usr"))
    assert said(result) == "5 /usr hé 4"  # TEST_WORD, and the run's own HOME, TMPDIR and TZ


def test_the_image_loads_no_network_module_by_itself(opened: Open) -> None:
    loaded = said(opened("loaded").run(job())).split()
    assert not {"socket", "select", "threading", "ssl", "asyncio", "subprocess"} & set(loaded)


def test_path_files_that_import_are_executed_behind_the_shims(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    packages = environment / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "early.py").write_text("import asyncio, socket\nSEEN = socket.socket().fileno()\n")
    (packages / "early.pth").write_text("\n".join([*here, str(Path(wavetank.__file__).parents[1]), "import early"]))
    (tmp_path / "script.py").write_text("import early, sys\nprint(early.SEEN, sys.prefix)\nexit(0)\n")
    command = [environment / "bin/python", "-m", "wavetank", "run", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"1000000 {environment}\n"), done.stderr


def test_several_runs_are_under_way_at_once(opened: Open) -> None:
    image = opened("echo", workers=3)
    for seed in range(3):
        image.submit(seed, job(seed))
    assert image.free == 0
    found: dict[int, RunResult] = {}
    while image.running:
        found |= {finished.token: finished.result for finished in image.wait()}
    assert [said(found[seed])[0] for seed in range(3)] == ["0", "1", "2"]


# ---- determinism: where objects come to lie


@pytest.mark.parametrize(
    "other",
    [
        job(1, environment={f"NAME_{number}": "v" * number for number in range(300)}),
        job(1, environment={}),
        job(1, trace_path="/dev/null"),
        job(1, choices={f"cut a -> b / {number}": 1 for number in range(1, 3000)}),
        job(1, want_choices=True),
        job(2),
    ],
    ids=["environment", "no environment", "trace", "choices", "choices wanted", "seed"],
)
def test_what_differs_between_runs_moves_no_object(opened: Open, other: Job) -> None:
    image = opened("addresses")
    assert image.report is not None
    if not image.report.fixed_addresses:
        pytest.skip("this machine refuses fixed addresses (personality(2))")
    assert said(image.run(other)) == said(image.run(job(1)))


def test_the_first_run_is_like_the_fiftieth_and_like_two_at_a_time(opened: Open) -> None:
    image = opened("addresses", workers=2)
    seen = {said(image.run(job())) for _ in range(20)}
    for _ in range(15):
        image.submit(1, job())
        image.submit(2, job())
        while image.running:
            seen |= {said(finished.result) for finished in image.wait()}
    assert len(seen) == 1


def test_another_image_is_like_this_one(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = opened("addresses")
    assert first.report is not None
    if not first.report.fixed_addresses:
        pytest.skip("this machine refuses fixed addresses (personality(2))")
    before = said(first.run(job()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOMETHING", "long" * 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert said(opened("addresses", workers=7).run(job())) == before


def test_a_module_that_had_to_be_compiled_leaves_no_mark(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "some_module.py").write_text("class A:\n    def f(self):\n        return {1, 2}\n" * 20)
    seen = {said(opened("addresses", module="some_module", path=str(tmp_path)).run(job())) for _ in range(2)}
    assert len(seen) == 1
    assert list((tmp_path / "__pycache__").iterdir())


# ---- choices


def test_choices_drawn_and_choices_listed_are_the_same_run(opened: Open) -> None:
    image = opened("choices")
    drawn = image.run(job(7))
    assert drawn.choices
    assert said(image.run(job(8, choices=drawn.choices))) == said(drawn)
    assert set(said(image.run(job(7, choices={}))).split()) == {"0"}
    assert said(image.run(job(7))) == said(drawn)


# ---- endings


def test_a_crash_names_the_signal_and_the_line(opened: Open) -> None:
    result = opened("crash").run(job())
    assert result.failure is not None
    assert result.failure.kind == "exception"
    assert result.failure.error == "the run's process ended with signal SIGSEGV (Segmentation fault)"
    assert "string_at" in result.failure.traceback
    assert result.failure.where.startswith("fake_runtime.py:")


def test_a_run_that_leaves_without_an_answer_is_a_failure(opened: Open) -> None:
    result = opened("leave").run(job())
    assert result.failure is not None
    assert result.failure.error == "the run's process ended with status 7"


def test_a_spinning_line_is_shown(opened: Open) -> None:
    result = opened("spin").run(job(real_limit_s=0.3))
    assert result.failure is not None
    assert result.failure.kind == "spin"
    assert result.failure.where.endswith("in _spin")


def test_a_run_whose_virtual_time_moves_hangs_instead(opened: Open) -> None:
    result = opened("slow").run(job(real_limit_s=0.3))
    assert result.failure is not None
    assert result.failure.kind == "hang"
    assert result.virtual_ns > 0


def test_a_defect_of_ours_is_an_internal_error_with_its_traceback(opened: Open) -> None:
    with pytest.raises(InternalError, match="RuntimeError: a defect"):
        opened("break_").run(job())


def test_a_run_with_nothing_to_run_raises_what_it_refused_with(opened: Open) -> None:
    image = opened("refuse")
    with pytest.raises(NothingToRun) as caught:
        image.run(job())
    assert caught.value.lines() == ["nothing here", "  where: x.py", "  next: write something"]
    assert image.free == 1


def test_what_goes_to_the_real_descriptors_is_kept_within_a_limit(opened: Open) -> None:
    image = opened("shout")
    output = image.run(job()).outputs[-1]
    assert output.stdout.endswith("x\nend\n") or output.stdout.endswith("xend\n")
    assert len(output.stdout) < 2 * CAPTURE_BYTES + 100
    assert "bytes left out" in output.stdout


def test_an_abandoned_run_ends(opened: Open) -> None:
    image = opened("spin")
    image.submit("token", job())
    while not image.wait(0.1):
        image.abandon("token")
    assert image.free == 1


# ---- folders


def test_each_run_has_an_empty_home_at_the_same_place(opened: Open) -> None:
    image = opened("files")
    assert said(image.run(job())) == said(image.run(job()))
    assert said(image.run(job())).startswith(f"{private.NAME}/tmp []")


def test_a_private_working_folder_is_a_fresh_copy(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("x")
    result = opened("files").run(job(cwd=str(tmp_path)), copy_of=str(tmp_path))
    assert said(result).endswith("['data.txt']")


def test_closing_leaves_no_folder_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with image_for("spin") as image:
        image.submit(1, job())
        while not (slot := image._slots[0]).pid:
            image.wait(0.05)
        pids = [image._pid, slot.pid]
    assert list(tmp_path.iterdir()) == []
    for pid in pids:
        assert is_gone(pid)


PARENT = """
import sys, time
sys.path[:0] = {path!r}
from tests.unit.test_campaign_image import image_for, job
image = image_for("spin").__enter__()
image.submit(1, job())
while not image._slots[0].pid:
    image.wait(0.05)
print(image._pid, image._slots[0].pid, flush=True)
time.sleep(60)
"""


def test_the_image_and_its_runs_end_when_the_parent_is_killed() -> None:
    program = PARENT.format(path=[ROOT, os.path.join(ROOT, "src")])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    assert all(is_gone(pid) for pid in pids)


def is_gone(pid: int) -> bool:
    """Whether the process ends; it is given some seconds, for the system must notice."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] in "ZX":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False


# ---- targets that cannot be loaded


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1 / 0\n", "the target cannot be loaded: ZeroDivisionError: division by zero"),
        ("def f(:\n", "the target cannot be loaded: SyntaxError: invalid syntax"),
        ("import no_such_thing\n", "the target cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'"),
    ],
)
def test_a_target_that_cannot_be_loaded_shows_the_users_line(
    opened: Open, tmp_path: Path, text: str, what: str
) -> None:
    (tmp_path / "broken_target.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        opened("echo", module="broken_target", path=str(tmp_path))
    assert caught.value.what == what
    assert "broken_target.py, line 1" in caught.value.where
    assert "importlib" + os.sep not in caught.value.why
    assert "wavetank/campaign" not in caught.value.why


def test_a_job_that_is_too_long_is_refused_and_the_image_goes_on(opened: Open) -> None:
    image = opened("echo")
    with pytest.raises(UsageError, match="the environment is too long"):
        image.run(job(environment={"X": "y" * 3_000_000}))
    assert said(image.run(job(3))).startswith("3 ")


def test_the_end_of_a_run_is_noticed_without_pidfd(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, flags: int = 0) -> int:
        raise PermissionError(1, "Operation not permitted")

    image = opened("echo")
    monkeypatch.setattr(os, "pidfd_open", refused)
    assert said(image.run(job(3))).startswith("3 ")
    crash = opened("crash")
    assert crash.run(job()).failure is not None
