"""Frameworks that libraries import, and use, in the image: before there is any program, and for all of them."""

from typing import Any

from tests.unit.kernel_harness import simulated
from wavetank.kernel.shims import FACES


def imports_a_library() -> None:
    import sys
    import types

    from wavetank import frameworks

    frameworks.install()
    library = types.ModuleType("library")
    sys.modules["library"] = library
    exec(
        "from twisted.internet import reactor\n"
        "from twisted.internet.reactor import callLater\n"
        "class Holder:\n"
        "    stop = staticmethod(reactor.stop)\n"
        "    running = reactor.running\n"
        "def default(clock=reactor): return clock\n"
        "order = []\n"
        "reactor.callWhenRunning(order.append, 'when running')\n"
        "reactor.callLater(1.5, order.append, 'later')\n"
        "reactor.suggestThreadPoolSize(3)\n",
        library.__dict__,
    )


def uses_the_library() -> Any:
    import library  # type: ignore[import-not-found]

    from wavetank import frameworks

    frameworks.begin(core.K.process)  # type: ignore[name-defined]  # noqa: F821  # the harness gives it
    library.callLater(2, library.Holder.stop)
    workers = library.reactor.getThreadPool().max
    library.reactor.run()
    return library.order, library.Holder.running, library.default().__class__.__name__, workers


def test_what_is_asked_of_the_reactor_at_import_each_program_s_own_does() -> None:
    found = simulated(uses_the_library, faces=FACES, before=imports_a_library)
    assert found == (["when running", "later"], False, "EPollReactor", 3)


def installs_a_reactor_as_daphne_does() -> None:
    import sys

    from wavetank import frameworks

    frameworks.install()
    from twisted.internet import asyncioreactor

    if "twisted.internet.reactor" in sys.modules:
        del sys.modules["twisted.internet.reactor"]
    asyncioreactor.install()


def runs_it() -> Any:
    import sys

    import pytest

    from wavetank import frameworks

    frameworks.begin(core.K.process)  # type: ignore[name-defined]  # noqa: F821  # the harness gives it
    assert "twisted.internet.reactor" in sys.modules
    from twisted.internet import error, reactor, selectreactor

    with pytest.raises(error.ReactorAlreadyInstalledError):
        selectreactor.install()
    reactor.callLater(1, reactor.stop)
    reactor.run()
    return reactor.__class__.__name__


def test_a_reactor_that_a_library_installs_at_import() -> None:
    assert simulated(runs_it, faces=FACES, before=installs_a_reactor_as_daphne_does) == "AsyncioSelectorReactor"


def runs_the_reactor_at_import() -> None:
    import pytest

    from wavetank import frameworks

    frameworks.install()
    from twisted.internet import reactor

    with pytest.raises(ImportError, match=r"reactor\.run\(\)"):
        reactor.run()
    assert repr(reactor) == "<reactor of image>"
    assert not hasattr(reactor, "noSuchThing")


def nothing() -> bool:
    return True


def test_a_library_cannot_run_the_reactor_at_import() -> None:
    assert simulated(nothing, faces=FACES, before=runs_the_reactor_at_import)


def imports_them_all() -> None:
    from wavetank import frameworks

    frameworks.install()
    import anyio  # noqa: F401
    import trio  # noqa: F401
    import twisted.internet.reactor
    import twisted.internet.task
    import twisted.names.client
    import twisted.python.log  # noqa: F401


def counts_what_is_open() -> Any:
    from wavetank import frameworks

    image = harness.World.current.kernel.threads[0].process  # type: ignore[name-defined]  # noqa: F821
    frameworks.begin(core.K.process)  # type: ignore[name-defined]  # noqa: F821
    return len(image.fds), len(core.K.process.fds)  # type: ignore[name-defined]  # noqa: F821


def test_importing_opens_nothing() -> None:
    assert simulated(counts_what_is_open, faces=FACES, before=imports_them_all) == (0, 0)
