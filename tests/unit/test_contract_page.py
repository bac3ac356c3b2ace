"""docs/contract.md: its tables and diagrams are those of the code."""

from tests.support.contract_page import PAGE, diagram, renewed
from wavetank.contract import KINDS


def test_the_page_is_current() -> None:
    text = PAGE.read_text()
    assert renewed(text) == text, "python -m tests.support.contract_page"


def test_a_diagram_has_every_state_and_every_call_that_leads_on() -> None:
    for kind in KINDS.values():
        for machine in kind.machines:
            shown = diagram(machine)
            for state, row in machine.steps.items():
                assert state in shown or state == "end"
                assert all(call in shown for call in row)
