"""The clocks, `time.sleep` and `datetime` of a simulated host; errors compared with the real module's."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

import pytest

from tests.unit.kernel_harness import real, simulated

FACES = ("time",)
EPOCH_S = 1_700_000_000


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, epoch_s=EPOCH_S, **options)


def test_each_clock_follows_virtual_time() -> None:
    def body():
        import time

        def readings():
            return {
                name: getattr(time, name)()
                for name in ("time_ns", "monotonic_ns", "perf_counter_ns", "process_time_ns", "thread_time_ns")
            } | {
                name: time.clock_gettime_ns(getattr(time, f"CLOCK_{name}"))
                for name in ("REALTIME", "MONOTONIC", "MONOTONIC_RAW", "BOOTTIME", "TAI", "PROCESS_CPUTIME_ID")
            }

        before = readings()
        core.K.park("an hour", core.K.now + 3_600_000_000_000)
        after = readings()
        return {name: round((after[name] - before[name]) / 1e9, 3) for name in before}, before

    gone, before = run(body)
    cpu = {"process_time_ns", "thread_time_ns", "PROCESS_CPUTIME_ID"}
    assert gone == {name: 0.0 if name in cpu else 3600.0 for name in gone}
    assert before["time_ns"] // 10**9 == EPOCH_S
    assert before["monotonic_ns"] // 10**9 == 100_000


def test_readings_cost_time_and_a_busy_wait_ends() -> None:
    def body():
        import time

        end = time.monotonic() + 1.0
        count = 0
        while time.monotonic() < end:
            count += 1
        return count

    assert 1_000 < run(body) < 60_000


def test_floats_and_integers_of_one_clock_agree() -> None:
    def body():
        import time

        return [
            [(getattr(time, name)() - getattr(time, name + "_ns")() / 1e9) * 1e9 for _ in range(3)]
            for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        ]

    for differences in run(body):
        assert all(-400 < difference <= 0 for difference in differences)


def test_sleeping_takes_virtual_time_rounded_up() -> None:
    def body():
        import time

        out = []
        for seconds in (0.25, 1, 1e-10, 86_400, True, 0, 0.0):
            before = core.K.now
            result = time.sleep(seconds)
            out.append((result, core.K.now - before))
        return out

    assert run(body) == [
        (None, 250_000_000), (None, 10**9), (None, 1000), (None, 86_400 * 10**9), (None, 10**9), (None, 1000),
        (None, 1000),
    ]  # fmt: skip


def test_sleeping_for_nothing_lets_others_run() -> None:
    def body():
        import time

        seen = []
        kernel = core.K
        kernel.start(kernel.new_thread(kernel.process, "other"), lambda: seen.append("other"))
        time.sleep(0)
        return seen

    assert run(body) == ["other"]


def test_refused_arguments_are_refused_as_by_the_real_module() -> None:
    def body():
        import time
        from fractions import Fraction

        return [
            attempt(getattr(time, name), *args)
            for name, args in (
                ("sleep", (-1,)), ("sleep", (-0.5,)), ("sleep", (float("nan"),)), ("sleep", ("1",)), ("sleep", (None,)),
                ("sleep", (Fraction(1, 2),)), ("sleep", (1e300,)), ("sleep", (10**30,)), ("sleep", (9223372036.9,)),
                ("sleep", (9223372037,)),
                ("get_clock_info", ("nonsense",)), ("get_clock_info", (1,)),
                ("clock_gettime", (99,)), ("clock_gettime_ns", (99,)), ("clock_getres", (99,)),
                ("localtime", ("x",)), ("gmtime", (1e300,)), ("asctime", (None,)),
                ("clock_gettime", ("x",)), ("strftime", ("%Y", 1)), ("ctime", ("x",)),
            )
        ]  # fmt: skip

    assert run(body) == real(body)


def test_what_the_clocks_say_of_themselves() -> None:
    def body():
        import time

        names = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        return [time.get_clock_info(name).__dict__ for name in names], time.clock_getres(time.CLOCK_MONOTONIC)

    infos, resolution = run(body)
    assert resolution == 1e-9
    for ours, theirs in zip(infos, real(body)[0], strict=True):
        assert {**ours, "resolution": 0} == {**theirs, "resolution": 0}


def test_setting_the_clock_needs_a_privilege_that_no_program_has() -> None:
    def body():
        import time

        return attempt(time.clock_settime, time.CLOCK_REALTIME, 0.0), attempt(time.clock_settime_ns, 0, 0)

    assert run(body) == (("raises", "PermissionError", (1, "Operation not permitted")),) * 2


def test_the_calendar_defaults_to_the_virtual_present_in_utc() -> None:
    def body():
        import time

        given = 86_400.0
        return (
            time.localtime() == time.gmtime() == time.localtime(None) == time.gmtime(None),
            tuple(time.localtime()[:6]),
            time.ctime(), time.asctime(), time.strftime("%Y-%m-%d %H:%M:%S %Z"),
            time.ctime(given), time.asctime(time.gmtime(given)), time.strftime("%F", time.gmtime(given)),
            time.tzname, time.timezone, time.daylight,
        )  # fmt: skip

    text = "Tue Nov 14 22:13:20 2023"
    assert run(body) == (
        True, (2023, 11, 14, 22, 13, 20), text, text, "2023-11-14 22:13:20 UTC",
        "Fri Jan  2 00:00:00 1970", "Fri Jan  2 00:00:00 1970", "1970-01-02", ("UTC", "UTC"), 0, 0,
    )  # fmt: skip


def test_the_time_zone_stays_utc_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def body():
        import datetime
        import os
        import time

        zone = datetime.datetime.now().astimezone().utcoffset().total_seconds()
        os.environ["TZ"] = "XYZ-3"
        time.tzset()
        return zone, time.localtime(0).tm_hour

    monkeypatch.setenv("TZ", "ABC+5")
    assert run(body) == (0.0, 3)


def test_datetime_gives_real_objects_of_the_virtual_present() -> None:
    def before():
        from datetime import datetime as early

        harness.early = early

    def body():
        import datetime
        import pickle

        class Special(datetime.datetime):
            def __new__(cls, *args, **keywords):
                self = super().__new__(cls, *args, **keywords)
                self.made = True
                return self

        zone = datetime.timezone(datetime.timedelta(hours=2), "two")
        now = datetime.datetime.now()
        return (
            now.isoformat()[:19],
            type(now) is datetime.datetime is harness.early,
            pickle.loads(pickle.dumps(now)) == now,
            datetime.datetime.now(zone).isoformat()[:19], datetime.datetime.now(tz=zone).tzname(),
            harness.early.now(datetime.UTC).isoformat()[-6:],
            datetime.date.today().isoformat(), datetime.datetime.today().isoformat()[:19],
            type(Special.now()) is Special, Special.now(zone).made, Special.now(zone).tzinfo is zone,
            0 <= (datetime.datetime.now() - now).total_seconds() < 1,
            datetime.datetime.now().timestamp() // 1,
        )  # fmt: skip

    assert run(body, before=before) == (
        "2023-11-14T22:13:20", True, True, "2023-11-15T00:13:20", "two", "+00:00", "2023-11-14", "2023-11-14T22:13:20",
        True, True, True, True, float(EPOCH_S),
    )  # fmt: skip


def test_datetime_errors_and_warnings_are_the_real_ones() -> None:
    def body():
        import datetime
        import warnings

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            datetime.datetime.utcnow()
        return (
            [(entry.category.__name__, str(entry.message), entry.filename) for entry in seen],
            attempt(datetime.datetime.now, "UTC"), attempt(datetime.datetime.now, 3)[:2],
        )  # fmt: skip

    assert run(body) == real(body)


def test_a_call_kept_as_a_class_attribute_is_not_given_the_instance() -> None:
    def body():
        import logging
        import time

        class Program:
            clock = time.monotonic
            converter = time.localtime

        record = logging.LogRecord("name", 20, "path", 1, "text", (), None)
        return type(Program().clock()).__name__, Program().converter(0).tm_year, logging.Formatter().formatTime(record)

    assert run(body)[:2] == ("float", 1970)
    assert run(body)[2].startswith("2023-11-14 22:13:20")


def test_a_host_with_a_wrong_clock_shows_another_date_and_waits_as_long() -> None:
    def body():
        import datetime
        import time

        from wavetank.kernel.clock import HostClock

        stack = core.K.process.stack
        steady = time.monotonic()
        stack.clock = clock = HostClock(offset_ns=-3_600_000_000_000, drift_ppm=100.0)
        out = [datetime.datetime.now().isoformat()[:19]]
        time.sleep(10_000)
        out.append(round(time.time() - (core.K.epoch_ns + core.K.now) / 1e9, 6))
        clock.drift(core.K.now, 0.0)
        time.sleep(10_000)
        out.append(round(time.time() - (core.K.epoch_ns + core.K.now) / 1e9, 6))
        clock.jump(5_000_000_000)
        out.append(round(time.time() - (core.K.epoch_ns + core.K.now) / 1e9, 6))
        out.append(round(time.monotonic() - steady, 3))
        return out

    assert run(body) == ["2023-11-14T21:13:20", -3599.0, -3599.0, -3594.0, 20_000.0]


def test_the_cpu_clock_of_a_thread_needs_a_thread() -> None:
    def body():
        import time

        clock = time.pthread_getcpuclockid(core.K.running.ident)
        own = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
        return (
            clock < 0,
            own <= time.clock_gettime(clock) < own + 0.001,
            attempt(time.pthread_getcpuclockid, 1),
            attempt(time.clock_gettime, clock - 800),
        )

    missing = ("raises", "ProcessLookupError", (3, "No such process"))
    assert run(body) == (True, True, missing, ("raises", "OSError", (22, "Invalid argument")))
