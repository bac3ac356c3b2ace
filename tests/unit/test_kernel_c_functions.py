"""Functions of the C library that ctypes finds: names of threads."""

# Bodies travel as source to another interpreter: they import inside.

from typing import Any

from tests.unit.kernel_harness import real, simulated
from wavetank.kernel.shims import FACES


def names_of_threads() -> Any:
    import ctypes
    import threading

    library = ctypes.CDLL(None)
    library.pthread_setname_np.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.pthread_getname_np.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    found = []

    def work() -> None:
        own = threading.get_ident()
        buffer = ctypes.create_string_buffer(16)
        found.append(library.pthread_setname_np(own, b"worker"))
        found.append((library.pthread_getname_np(own, buffer, 16), buffer.value))
        found.append(library.pthread_setname_np(own, b"longer than it may be"))
        found.append(library.pthread_getname_np(own, buffer, 4))
        found.append(library.pthread_setname_np(threading.main_thread().ident, b"main one"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    buffer = ctypes.create_string_buffer(16)
    found.append((library.pthread_getname_np(threading.get_ident(), buffer, 16), buffer.value))
    return found


def test_threads_have_names_for_c_code() -> None:
    found = simulated(names_of_threads, faces=FACES)
    assert found == real(names_of_threads)
    assert found[1] == (0, b"worker")


def unknown_thread() -> Any:
    import ctypes

    library = ctypes.CDLL(None)
    library.pthread_setname_np.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library.pthread_setname_np(12345, b"x"), library.getpid() > 0


def test_no_such_thread_brings_nothing_down() -> None:
    assert simulated(unknown_thread, faces=FACES) == (3, True)
