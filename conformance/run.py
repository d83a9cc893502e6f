#!/usr/bin/env python3
"""Runs foreign SDKs against an evhub binary: python3 conformance/run.py --evhub PATH. README.md tells the rest."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from runner import report
from runner.broker import Broker, BrokerFailed, log_faults
from runner.cases import Case, Stage, load, policy_name
from runner.proxy import Proxy
from runner.suites import SUITES, InstallFailed, Result, Run, Suite, install


def main() -> int:
    options = arguments()
    cases = [case for case in load() if not options.only or case.id in options.only]
    columns: dict[str, report.Column] = {}
    faults: list[str] = []  # what is wrong beside the cases
    began = time.monotonic()
    for suite, version in options.suite:
        try:
            note(f"installing {suite.package} {version}")
            command = install(suite, version, options.cache)
            note(f"running {len(cases)} cases with {suite.package} {version}, {' and '.join(suite.variants)}")
            faults += run_suite(options.evhub, suite, version, command, cases, columns)
        except (BrokerFailed, InstallFailed) as failed:
            faults.append(f"{suite.name}@{version}: {failed}")
    print(report.table(cases, columns))
    for name, column in columns.items():
        for result in column.values():
            if result.result == "not-applicable":
                print(f"not applicable: {result.case} ({name}): {result.detail}")
    for fault in faults:
        print(f"FAILED {fault}")
    results = [result for column in columns.values() for result in column.values()]
    passed = sum(result.result == "passed" for result in results)
    failed = sum(result.result == "failed" for result in results) + len(faults)
    if options.json:
        run = {"seconds": round(time.monotonic() - began, 1), "passed": passed, "failed": failed, "faults": faults}
        options.json.write_text(json.dumps(report.machine(cases, columns, run), indent=1) + "\n", encoding="utf-8")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evhub", type=Path, required=True, metavar="PATH", help="the evhub binary")
    parser.add_argument("--suite", type=suite_version, action="append", metavar="NAME[@VERSION]",
                        help=f"which SDK to run, again for more; all at their newest if missing: {', '.join(SUITES)}")
    parser.add_argument("--only", action="append", metavar="CASE", help="run this case only, again for more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a report for machines")
    cache = os.environ.get("EVHUB_CONFORMANCE_CACHE") or Path(tempfile.gettempdir()) / "evhub-conformance"
    parser.add_argument("--cache", type=Path, default=Path(cache), metavar="DIR",
                        help="where SDKs are installed; $EVHUB_CONFORMANCE_CACHE, else %(default)s")
    options = parser.parse_args()
    options.evhub = options.evhub.resolve()
    if not options.evhub.is_file():
        parser.error(f"--evhub: there is no file {options.evhub}")
    if unknown := set(options.only or ()) - {case.id for case in load()}:
        parser.error(f"--only: there is no case {', '.join(sorted(unknown))}")
    options.suite = options.suite or [(suite, suite.newest) for suite in SUITES.values()]
    return options


def suite_version(text: str) -> tuple[Suite, str]:
    name, _, version = text.partition("@")
    if name not in SUITES:
        raise argparse.ArgumentTypeError(f"there is no suite {name!r}; there is {', '.join(SUITES)}")
    return SUITES[name], version or SUITES[name].newest


def run_suite(
    evhub: Path, suite: Suite, version: str, command: list[str], cases: list[Case], columns: dict[str, report.Column]
) -> list[str]:
    """Runs all variants of a suite at once against a broker of its own; adds a column for each. Gives what is wrong beside the cases."""
    stage = Stage(cases, list(suite.variants))
    directory = Path(tempfile.mkdtemp(prefix="evhub-conformance-run-"))
    try:
        with Broker(evhub, stage.config(), directory) as broker, Proxy(broker.amqp) as proxy:
            runs = [Run(command, stage.plan(variant, broker.amqp, broker.admin, proxy.control), directory) for variant in suite.variants]
            found = [{result.case: result for result in run.results()} for run in runs]
        log = broker.log()
        faults = log_faults(log, stage.secrets())
        for run, results in zip(runs, found):
            name = f"{suite.name}@{version} {run.variant}"
            column = columns[name] = {case.id: judge(case, run.variant, results.get(case.id), log) for case in cases}
            if len(results) < len(cases):
                missing = len(cases) - len(results)
                faults.append(f"{name} gave no result for {missing} cases; the end of its output:\n{run.output()[-3000:]}")
            for case in cases:
                if column[case.id].result == "failed":
                    print(report.failure(name, case, run.variant, column[case.id], log), end="\n\n")
        return faults
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def judge(case: Case, variant: str, result: Result | None, log: str) -> Result:
    """Fails a case without a result, and one whose refusal left no line in the broker's log that names the policy."""
    if result is None:
        return Result(case.id, "failed", "the suite gave no result")
    missing = [policy for credential in case.log if (policy := policy_name(case, variant, credential)) not in log]
    if result.result == "passed" and missing:
        return Result(case.id, "failed", f"no line of the broker's log names {', '.join(missing)}", result.seconds)
    return result


def note(text: str) -> None:
    print(f"conformance: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
