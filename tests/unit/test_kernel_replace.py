"""How simulated calls come into modules: now, when a module is imported, and as class attributes."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from tests.unit.kernel_harness import simulated


def test_a_module_is_changed_when_it_is_imported_and_again_when_it_is_reloaded() -> None:
    def body():
        import importlib.util
        import sys

        from wavetank.kernel.replace import when_imported

        seen = []
        when_imported("colorsys", lambda module: seen.append((module.__name__, hasattr(module, "rgb_to_hsv"))))
        assert "colorsys" not in sys.modules
        found = importlib.util.find_spec("colorsys")
        import colorsys

        loaders = type(colorsys.__loader__).__name__, type(colorsys.__spec__.loader).__name__
        importlib.reload(colorsys)
        return (
            seen,
            loaders,
            found.name,
            found.loader.is_package("colorsys"),
            attempt(__import__, "colorsys.nothing")[1],
        )

    entry = ("colorsys", True)
    loaders = ("SourceFileLoader", "SourceFileLoader")
    assert simulated(body, faces=()) == ([entry, entry], loaders, "colorsys", False, "ModuleNotFoundError")


def test_a_module_that_is_there_is_changed_at_once() -> None:
    def body():
        import json

        from wavetank.kernel.replace import when_imported

        seen = []
        when_imported("json", seen.append)
        return seen == [json]

    assert simulated(body, faces=())


def test_only_what_a_module_has_is_replaced_and_instances_do_not_bind_it() -> None:
    def body():
        from types import ModuleType

        from wavetank.kernel.replace import replace_calls

        class Face:
            def known(self, number=1):
                return number

            def unknown(self):
                return 0

            def _private(self):
                return 0

        module = ModuleType("module")
        module.known = module._private = len
        replace_calls(Face(), module)

        class Program:
            call = module.known

        return Program().call(), Program().call(5), hasattr(module, "unknown"), module._private is len

    assert simulated(body, faces=()) == (1, 5, False, True)
