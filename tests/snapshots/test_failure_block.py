"""What a user reads when a run has failed, word for word."""

from pathlib import Path

import pytest

from wavetank.cli import output
from wavetank.faults import Latency, Loss
from wavetank.plan import Plan
from wavetank.world.job import FailureRecord, Output, RunResult

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/client.py", line 31, in <module>
    asyncio.run(main())
  File "/srv/shop/client.py", line 24, in main
    assert got == wanted, f"{got} is not {wanted}"
AssertionError: 3 is not 4
"""

BLOCK = """\
FAILURE  AssertionError: 3 is not 4

  client.py:24 in main
      assert got == wanted, f"{got} is not {wanted}"

  kind     exception
           out of the main of app/client
  host     app
  time     1.250000 s of virtual time
  seed     17, the lowest of 3 that fail so
  faults   0.00 s: latency 5 ms, jitter 20 ms
           0.00 s: loss of 2 %
  choices  byte 3 of app -> db:7000 #1 arrives 0.004 ms late
           packet 9 of app -> db:7000 #1 is lost

  Traceback (most recent call last):
    File "/srv/shop/client.py", line 31, in <module>
      asyncio.run(main())
    File "/srv/shop/client.py", line 24, in main
      assert got == wanted, f"{got} is not {wanted}"
  AssertionError: 3 is not 4

  app/client, stdout:
    asking for 4

  just before:
      1.249000 s  app/client/MainThread Task-1  receive  app -> db:7000 #1  5 B

Replay it with:
wavetank replay kept/client-3f9c.json
"""


def test_the_block_of_a_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    record = FailureRecord(
        kind="exception",
        error="AssertionError: 3 is not 4",
        host="app",
        time_ns=1_250_000_000,
        where="client.py:24 in main",
        traceback=TRACEBACK,
        summary="out of the main of app/client",
    )
    plan = Plan(
        seed=17,
        faults=(Latency(delay_s=0.005, jitter_s=0.02), Loss(rate=0.02)),
        choices={"jitter app -> db:7000 #1 / 3": 4, "loss app -> db:7000 #1 / 9": 1},
    )
    result = RunResult(
        digest="3f9c",
        events=1,
        virtual_ns=1,
        failure=record,
        outputs=[Output("app/client", "asking for 4\n", TRACEBACK, 1)],
        last_events=["  1.249000 s  app/client/MainThread Task-1  receive  app -> db:7000 #1  5 B"],
    )
    output.show_failure(record, plan, result, seed=17, file=tmp_path / "kept" / "client-3f9c.json", count=3)
    assert capsys.readouterr().out == BLOCK
