#!/usr/bin/env python3
"""Runs a test module that was written for a broker elsewhere with this plugin's fixtures in place of its own.

    python kits/python/tests/check_seed.py DIRECTORY

DIRECTORY has test_notifier.py with fixtures eventhub_producer, eventhub_consumer and events, with sleeps, and with the packages that it
imports. In a copy the fixtures and the sleeps are removed; nothing else changes. Then the tests must pass. With every `async def send` emptied
they must fail, and the failure must show the messages that are missing as pytest shows a difference.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FIXTURES = {"eventhub_producer", "eventhub_consumer", "events"}
MODULE = "test_notifier.py"


class WithoutFixturesAndSleeps(ast.NodeTransformer):
    def __init__(self) -> None:
        self.removed: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST | None:
        if node.name in FIXTURES and any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list):
            self.removed.append(f"fixture {node.name}")
            return None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = ast.unparse(node)
        if text.startswith(("await asyncio.sleep(", "time.sleep(")):
            self.removed.append(text)
            return None
        return node


class WithoutSending(ast.NodeTransformer):
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        if node.name == "send":
            node.body = [ast.Pass()]
        return node


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / MODULE).is_file():
        sys.exit(f"say the directory of {MODULE}: python check_seed.py DIRECTORY")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "seed"
        shutil.copytree(sys.argv[1], copy, copy_function=shutil.copyfile)  # not the modes: the original may be read-only
        for directory in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
            directory.chmod(0o755)
        strip(copy / MODULE)
        passed = pytest(copy, 0, "1 passed")
        for path in copy.rglob("*.py"):
            if path.name != MODULE:
                rewrite(path, WithoutSending())
        return 0 if pytest(copy, 1, "1 failed", "assert list(events) == [data]", "assert [] == [{") and passed else 1


def strip(module: Path) -> None:
    stripped = WithoutFixturesAndSleeps()
    rewrite(module, stripped)
    print("removed:", ", ".join(stripped.removed))
    if not FIXTURES <= {text.removeprefix("fixture ") for text in stripped.removed}:
        sys.exit(f"{MODULE} does not have all of the fixtures {', '.join(sorted(FIXTURES))}")


def rewrite(path: Path, change: ast.NodeTransformer) -> None:
    tree = change.visit(ast.parse(path.read_text(encoding="utf-8")))
    path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")


def pytest(directory: Path, code: int, *wanted: str) -> bool:
    """Runs the module and says whether it ended so, with these texts in its output."""
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore", MODULE]
    run = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    missing = [text for text in wanted if text not in run.stdout]
    if run.returncode == code and not missing:
        print(f"as it must be: {', '.join(wanted)}")
        return True
    print(run.stdout)
    print(f"exit code {run.returncode}, want {code}; not in the output: {', '.join(missing) or 'nothing'}")
    return False


if __name__ == "__main__":
    sys.exit(main())
