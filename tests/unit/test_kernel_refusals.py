"""What would escape the simulation is refused at the call."""

from tests.unit.kernel_harness import attempt, simulated


def test_no_other_interpreter_is_made() -> None:
    def body():
        import importlib
        import sys

        module = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
        return attempt(module.create)[1], "interpreters.create" in str(attempt(module.create)), len(module.list_all())

    assert simulated(body, faces=("refusals", "time", "threads")) == ("NotSimulatedOSError", True, 1)
