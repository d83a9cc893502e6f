"""What Schemathesis cannot know from the description, and what it was answered."""

from __future__ import annotations

import atexit
import json
import os
import uuid
from collections import Counter

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

STRUCTURED = "application/cloudevents+json"

# What every CloudEvent in binary mode has. Its headers come together or not at all, which OpenAPI has no words for.
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/orders", "ce-type": "order.made"}

answers: Counter[str] = Counter()
used_keys: set[str] = set()


@schemathesis.hook
def before_call(context: object, case: schemathesis.Case, kwargs: dict) -> None:
    """Keeps requests that are meant to be good from being refused for what the description cannot say of headers: that some exclude or need
    each other, that a key is for one request, that their bytes are UTF-8. What it says stays as it was generated."""
    headers = case.headers
    if not headers or case.meta is None:
        return
    key = headers.get("Idempotency-Key", "").strip('"')
    used = key in used_keys
    used_keys.add(key)
    if case.meta.generation.mode != GenerationMode.POSITIVE:
        wrong = case.meta.components.get(ParameterLocation.HEADER)
        if case.media_type == STRUCTURED and wrong and wrong.mode == GenerationMode.NEGATIVE:
            case.media_type = "application/json"  # beside a structured event, ce-* headers are passed over, however wrong they are
        return
    if used and key:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.media_type == STRUCTURED:  # it has attributes of its own, and perhaps a key
        for name in ("Partition-Key", "Partition-Id", *(name for name in headers if name.startswith("ce-"))):
            headers.pop(name, None)
    elif "Partition-Key" in headers:
        headers.pop("Partition-Id", None)
    elif "Partition-Id" in headers:
        headers["Partition-Id"] = "1"
    if any(name.startswith("ce-") for name in headers):
        for name, value in EVENT.items():
            headers.setdefault(name, value)
    for name in ("Partition-Key", "Message-Property-*", *(name for name in headers if name.startswith("ce-"))):
        if name in headers:
            headers[name] = headers[name].encode().decode("latin-1")  # which the client turns into the same bytes again


@schemathesis.hook
def after_call(context: object, case: schemathesis.Case, response: schemathesis.Response) -> None:
    mode = case.meta.generation.mode.value if case.meta else "explicit"
    answers[f"{case.operation.path} {mode} {response.status_code}"] += 1


@atexit.register
def report() -> None:
    with open(os.environ["EVHUB_ANSWERS"], "w", encoding="utf-8") as file:
        json.dump(answers, file)
