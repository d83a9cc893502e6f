"""Writes the grid of SDK, version and case into docs/COMPATIBILITY.md, from what `run.py --json` reported:

python3 conformance/grid.py REPORT.json...

Several reports are laid side by side; a suite that is in two of them is taken from the last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "COMPATIBILITY.md"
BEGIN, END = "<!-- grid: written by conformance/grid.py -->", "<!-- end of grid -->"
MARKS = {"passed": "✓", "not-applicable": "–", "failed": "✗"}
# What no report can have, and why.
NOT_RUN = {".NET": "not run: no .NET on the machine that writes this page"}


def grid(report: dict) -> str:
    columns = sorted(report["results"])
    lines = [
        f"✓ passed, ✗ failed, – not applicable: the SDK has no such thing. {len(report['cases'])} cases.",
        "",
        "| case | " + " | ".join(columns) + " |",
        "|---|" + ":-:|" * len(columns),
    ]
    for case in report["cases"]:
        marks = (MARKS[report["results"][name][case["id"]]["result"]] for name in columns)
        lines.append(f"| `{case['id']}`: {case['title']} | " + " | ".join(marks) + " |")
    lines += ["", *(f"{name}: {why}." for name, why in NOT_RUN.items())]
    reasons = {
        (name, id): result["detail"]
        for name in columns
        for id, result in report["results"][name].items()
        if result["result"] == "not-applicable"
    }
    if reasons:
        lines += ["", "Not applicable:", ""]
        lines += [f"- {name}, `{id}`: {why}" for (name, id), why in sorted(reasons.items())]
    return "\n".join(lines)


def together(reports: list[dict]) -> dict:
    """One report of the cases of the first, which all must have."""
    results: dict = {}
    for report in reports:
        if report["cases"] != reports[0]["cases"]:
            raise SystemExit("the reports are of different case lists: run all suites again")
        results |= report["results"]
    return {"cases": reports[0]["cases"], "results": results}


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("reports", type=Path, nargs="+", metavar="REPORT.json")
    report = together([json.loads(path.read_text(encoding="utf-8")) for path in args.parse_args().reports])
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    PAGE.write_text(head + BEGIN + "\n\n" + grid(report) + "\n\n" + END + tail, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
