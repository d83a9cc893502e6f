"""Results for people and for machines."""

from __future__ import annotations

import textwrap

from .cases import Case, hub_name
from .suites import Result

LOG_LINES_MAX = 12

Column = dict[str, Result]  # by case


def table(cases: list[Case], columns: dict[str, Column]) -> str:
    """One row a case, one column a variant of a suite."""
    width = max(len(case.id) for case in cases)
    lines = [" " * width + "".join(f"  {name:>8}" for name in columns)]
    for case in cases:
        cells = "".join(f"  {_cell(column[case.id]):>{max(8, len(name))}}" for name, column in columns.items())
        lines.append(f"{case.id:<{width}}{cells}")
    return "\n".join(lines)


def _cell(result: Result) -> str:
    if result.result == "passed":
        return f"{result.seconds:.1f} s"
    return "FAILED" if result.result == "failed" else "n/a"


def failure(name: str, case: Case, variant: str, result: Result, log: str) -> str:
    """A failed case with what the broker's log says about its hub."""
    about = [line for line in log.splitlines() if hub_name(case, variant) in line][-LOG_LINES_MAX:]
    parts = [f"FAILED {case.id} ({name}): {case.title}", "  must: " + case.asserts, textwrap.indent(result.detail.strip(), "  | ")]
    if about:
        parts += ["  the broker's log:", *("  > " + line for line in about)]
    return "\n".join(parts)


def machine(cases: list[Case], columns: dict[str, Column], run: dict) -> dict:
    return {
        **run,
        "cases": [{"id": case.id, "area": case.area, "title": case.title} for case in cases],
        "results": {
            name: {id: {"result": r.result, "detail": r.detail, "seconds": r.seconds} for id, r in column.items()}
            for name, column in columns.items()
        },
    }
