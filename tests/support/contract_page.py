"""The generated parts of docs/contract.md: `python -m tests.support.contract_page` writes them anew.

Made from the tables of `wavetank.contract` and from the table of the tests that break each rule; a test compares.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_contract_rules import BREAKS
from wavetank.contract import DIFFERENCES, KINDS, PROFILES, RULES, Machine

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


def diagram(machine: Machine) -> str:
    """One machine as a Mermaid state diagram: an arrow for each pair of states, with the calls that lead along it."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", f"    [*] --> {machine.start}"]
    if machine.joined and machine.joined not in (machine.start, None):
        lines.append(f"    [*] --> {machine.joined}: taken over in mid-stream")
    for state, row in machine.steps.items():
        ways: dict[str, list[str]] = {}
        for call, following in row.items():
            ways.setdefault(following, []).append(call)
        for following, calls in ways.items():
            # "end" is a word of Mermaid's own; its final state is drawn as [*].
            lines.append(f"    {state} --> {'[*]' if following == 'end' else following}: {', '.join(calls)}")
    return "\n".join([*lines, "```"])


def broken(machine: Machine) -> str:
    """What breaks a rule in which state, as a table."""
    rows = []
    for state, row in machine.breaks.items():
        by_rule: dict[str, list[str]] = {}
        for call, rule in row.items():
            by_rule.setdefault(rule, []).append(f"`{call}`")
        rows += [f"| {state} | {', '.join(calls)} | `{rule}` |" for rule, calls in by_rule.items()]
    return "\n".join(["| in state | call | breaks |", "|---|---|---|", *rows])


def machines() -> Iterator[str]:
    """Every machine once, under the kinds that have it."""
    kinds: dict[int, list[str]] = {}
    known: dict[int, Machine] = {}
    for kind in KINDS.values():
        for machine in kind.machines:
            kinds.setdefault(id(machine), []).append(kind.name)
            known[id(machine)] = machine
    for each, machine in known.items():
        yield f"### {machine.name}: {', '.join(kinds[each])}"
        yield machine.says[0].upper() + machine.says[1:] + "."
        yield diagram(machine)
        yield broken(machine)


def rules() -> Iterator[str]:
    """Every rule with its words, breaker and source."""
    rows = [f"| `{rule.name}` | {rule.says} | {rule.breaker} | {rule.source} |" for rule in RULES.values()]
    yield "\n".join(["| rule | what it says | who breaks it | source |", "|---|---|---|---|", *rows])


def caught() -> Iterator[str]:
    """Every break that a test makes on purpose."""
    order = {name: number for number, name in enumerate(RULES)}
    rows = [f"| {words} | `{rule}` |" for rule, words, _ in sorted(BREAKS, key=lambda row: order[row[0]])]
    yield "\n".join(["| what is done | caught as |", "|---|---|", *rows])


def profiles() -> Iterator[str]:
    """What each profile allows, and the differences behind them."""
    rows = []
    for profile in PROFILES.values():
        for each in profile.allows:
            when = [f"by `{each.call}`"] * bool(each.call) + ["over TLS"] * each.tls
            when += [f"asked for in `{each.inside}`"] * bool(each.inside)
            rows.append(f"| `{profile.name}` | `{each.rule}` | {', '.join(when) or 'always'} | {each.why} |")
    yield "\n".join(["| profile | allows | when | because |", "|---|---|---|---|", *rows])
    rows = [f"| {row.number} | {row.check} | {row.cpython} | {row.uvloop} | {row.twisted} |" for row in DIFFERENCES]
    yield "\n".join(["| # | check | `cpython` | `uvloop` | `twisted` |", "|---|---|---|---|---|", *rows])


PARTS = {"machines": machines, "rules": rules, "caught": caught, "profiles": profiles}


def renewed(text: str) -> str:
    """The page with its generated parts as they are now."""
    for name, make in PARTS.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
        part = "\n\n".join(make())
        assert len(pattern.findall(text)) == 1, f"the page has no place for {name}"
        text = pattern.sub(lambda _, part=part, begin=begin, end=end: f"{begin}\n\n{part}\n\n{end}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
