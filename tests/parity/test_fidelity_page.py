"""The page about fidelity says what the programs are."""

from tests.parity.language.page import PAGE, page


def test_the_page_is_the_one_that_the_programs_make() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.parity.language.page"
