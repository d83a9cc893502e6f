"""Runs the case list with azure-eventhub: the plan is in $EVHUB_PLAN, one JSON line a result goes to standard output."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import exclusive  # noqa: F401  each of these files adds its cases
import events  # noqa: F401
import faults  # noqa: F401
import positions  # noqa: F401
import properties  # noqa: F401
import receiving  # noqa: F401
import refusals  # noqa: F401
import sending  # noqa: F401
import trouble  # noqa: F401
from harness import CASES, NotApplicable, Scene, watch_token_conditions
from sdk import Sdk

AT_ONCE = 16  # cases that run at the same time
CASE_SECONDS_MAX = 60
THREADS_MAX = 256  # a blocking client needs one for each call under way


async def main() -> None:
    with open(os.environ["EVHUB_PLAN"], encoding="utf-8") as file:
        plan = json.load(file)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS_MAX))
    watch_token_conditions()
    sys.setswitchinterval(0.0005)  # a blocking receive spins while it has no partition, and starves the other threads
    sdk = Sdk(blocking=plan["variant"] == "sync")
    turn = asyncio.Semaphore(AT_ONCE)

    async def run(case: dict) -> None:
        async with turn:
            tell(case["id"], *await outcome(Scene(sdk, plan, case)))

    longest_first = reversed(plan["cases"])
    await asyncio.gather(*(run(case) for case in longest_first if case["id"] in CASES))


async def outcome(scene: Scene) -> tuple[str, str, float]:
    began = time.monotonic()
    result, detail = "passed", ""
    try:
        await asyncio.wait_for(perform(scene), CASE_SECONDS_MAX)
    except NotApplicable as reason:
        result, detail = "not-applicable", str(reason)
    except Exception:  # whatever a case ends with is its result
        result, detail = "failed", traceback.format_exc(limit=-6)
    return result, detail, time.monotonic() - began


async def perform(scene: Scene) -> None:
    try:
        await CASES[scene.id](scene)
    finally:
        await scene.end()


def tell(case: str, result: str, detail: str, seconds: float) -> None:
    print(json.dumps({"case": case, "result": result, "detail": detail, "seconds": round(seconds, 2)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # a blocking client that hangs must not keep the process: its case has failed already
