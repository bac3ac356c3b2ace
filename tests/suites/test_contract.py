"""The page about other people's suites under the monitor keeps what it is not asked for."""

from pathlib import Path

from tests.suites.contract import SUITES, Result, failures, write_page


def test_a_suite_is_put_in_its_place_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write_page(page, [Result("websockets", "15.0", 10, 2, 30), Result("aiohttp", "3.0", 20, 4, 50, [], ["tests/a::b"])])
    write_page(page, [Result("asyncio", "3.13", 7, 1, 9, [], [], ["test_slow (m.T.test_slow)"])])
    write_page(page, [Result("websockets", "15.1", 11, 2, 30)])
    text = page.read_text()
    rows = [
        line.split(" | ")[:3] for line in text.splitlines() if line.startswith(tuple(f"| {name} |" for name in SUITES))
    ]
    assert rows == [["| asyncio", "3.13", "7"], ["| aiohttp", "3.0", "20"], ["| websockets", "15.1", "11"]]
    assert [line for line in text.splitlines() if line.startswith(("## ", "- "))] == [
        "## asyncio",
        "- failed once, passes by itself, watched: `test_slow (m.T.test_slow)`",
        "## aiohttp",
        "- fails only when watched: `tests/a::b`: not known why",
    ]


def test_each_runner_says_what_failed() -> None:
    text = "FAIL: test_a (m.T.test_a)\nFAILED tests/x.py::test_b - oh\ntwisted.test.test_x.T.test_c\nok"
    assert failures(text) == {"test_a (m.T.test_a)", "tests/x.py::test_b", "twisted.test.test_x.T.test_c"}
