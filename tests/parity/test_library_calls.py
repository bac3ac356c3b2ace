"""Small things that CPython's own suites look at, in modules that stand on replaced calls."""

from typing import Any

from tests.unit.kernel_harness import attempt, real, simulated

FACES = ("time", "threads", "descriptors", "entropy", "signals", "readiness", "socket", "names")


def same_on_linux(body: Any) -> Any:
    there = real(body)
    here = simulated(body, faces=FACES)
    assert here == there
    return here


def test_a_buffer_over_a_full_pipe_says_why() -> None:
    def body():
        import errno
        import os

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with open(writer, "wb", buffering=100) as file:
            written = []
            try:
                while True:
                    written.append(file.write(b"x" * 99))
            except BlockingIOError as problem:
                answer = (problem.errno == errno.EAGAIN, problem.args[1], sum(written) > 60_000)
            os.read(reader, 65_536)
        os.close(reader)
        return answer

    assert same_on_linux(body)[0]


def test_an_interrupt_of_the_main_thread_by_itself_comes_at_once() -> None:
    def body():
        import _thread
        import signal

        def handler(*_: object) -> None:
            raise ZeroDivisionError

        signal.signal(signal.SIGINT, handler)
        try:
            _thread.interrupt_main()
        except ZeroDivisionError:
            return "at once"
        return "not yet"

    assert same_on_linux(body) == "at once"


def test_replaced_functions_are_of_their_modules() -> None:
    def body():
        import _thread
        import io
        import os
        import select
        import socket
        import time

        return [
            call.__module__
            for call in (
                time.time, time.sleep, os.read, os.pipe, _thread.get_native_id, _thread.start_new_thread, io.open,
                select.select, socket.gethostname, os.urandom,
            )
        ]  # fmt: skip

    same_on_linux(body)


def test_a_uuid_whose_last_time_is_forgotten() -> None:
    def body():
        import time
        import uuid
        from unittest import mock

        uuid.uuid1()
        with (
            mock.patch.multiple(uuid, _generate_time_safe=None, _last_timestamp=None, getnode=lambda: 93328246233727),
            mock.patch.object(time, "time_ns", return_value=1545052026752910643),
            mock.patch("random.getrandbits", return_value=5317),
        ):
            return str(uuid.uuid1())

    assert same_on_linux(body) == "a7a55b92-01fc-11e9-94c5-54e1acf6da7f"


def test_files_are_used_now_by_the_clock_that_a_program_reads() -> None:
    def body():
        import os
        import tempfile
        import time

        with tempfile.NamedTemporaryFile() as file:
            answers = []
            for times in ((), (None,)):
                os.utime(file.name, (1, 1))
                os.utime(file.name, *times)
                answers.append(abs(os.stat(file.name).st_mtime - time.time()) < 1)
            os.utime(file.fileno(), ns=(5, 7))
            answers.append(os.stat(file.name).st_mtime_ns)
            return [*answers, attempt(os.copy_file_range, 0, 1, -10)[:2], attempt(os.pipe2, 1 << 31)]

    assert same_on_linux(body)[:3] == [True, True, 7]


def test_entries_of_a_folder_are_of_their_type() -> None:
    def body():
        import os
        import pickle
        import socket
        import tempfile

        with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listening:
            os.mkdir(f"{place}/folder")
            listening.bind(f"{place}/socket")
            with open(f"{place}/file", "w"):
                pass
            return [
                (entry.name, isinstance(entry, os.DirEntry), entry.__class__.__name__, attempt(pickle.dumps, entry))
                for entry in sorted(os.scandir(place), key=lambda entry: entry.name)
            ]

    assert [found[:2] for found in same_on_linux(body)] == [("file", True), ("folder", True), ("socket", True)]


def test_what_a_program_has_put_into_os_is_not_called_by_the_kernel() -> None:
    def body():
        import os
        import socket
        import tempfile

        def blocks(*_: object, **__: object) -> None:
            raise AssertionError("a call that blocks, as blockbuster sees it")

        with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listening:
            os.symlink("near", f"{place}/far")
            os.symlink(f"{place}/socket", f"{place}/near")
            os.symlink("round", f"{place}/round")
            with open(f"{place}/file", "w"):
                pass
            own = {name: getattr(os, name) for name in ("access", "stat", "lstat", "readlink", "listdir", "write")}
            for name in own:
                setattr(os, name, blocks)
            try:
                listening.bind(f"{place}/socket")
                listening.listen()
                answers = [attempt(listening.bind, f"{place}/other")]
                for name in ("socket", "near", "far", "round", "file", "nowhere"):
                    with socket.socket(socket.AF_UNIX) as client:
                        answers.append(attempt(client.connect, f"{place}/{name}"))
                print("written")
            finally:
                for name, call in own.items():
                    setattr(os, name, call)
        return answers

    same_on_linux(body)


def test_the_mode_of_a_descriptor_and_of_the_name_it_gets() -> None:
    def body():
        import os
        import socket
        import tempfile

        os.umask(0o022)
        answers = []
        with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listening:
            number, path = listening.fileno(), f"{place}/socket"

            def modes(*files: int | str) -> None:
                answers.append([oct(os.stat(file).st_mode) for file in files])

            modes(number)
            answers.append(attempt(os.fchmod, number, 0o646))
            listening.bind(path)
            modes(number, path)
            os.fchmod(number, -1)
            modes(number, path)
            os.chmod(number, 0o4700)
            with listening.dup() as twin:
                modes(twin.fileno())
            os.chmod(path, 0o600, follow_symlinks=False)
            modes(path, number)
            listening.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                with listening.accept()[0] as accepted:
                    modes(client.fileno(), accepted.fileno())
        reader, writer = os.pipe()
        modes(reader, writer)
        os.fchmod(writer, 0o640)
        modes(reader, writer)
        answers += [attempt(os.fchmod, number, 0), attempt(os.fchmod, "1", 0), attempt(os.chmod, "a\0b", 0)]
        return answers

    assert same_on_linux(body)[2] == ["0o140646", "0o140644"]
