"""The case list, and what is made of it: the broker's configuration and one plan for each run of a suite."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

LIST = Path(__file__).parent.parent / "cases.json"

NAMESPACE = "conformance"
NAMESPACE_POLICY = "conformance"

IDLE_TIMEOUT_SECONDS = 10  # what the broker tells clients; it waits twice as long, more than a client is kept waiting for the processor

FLAWS = ("wrong-key", "unknown-policy", "expired-token")


@dataclass(frozen=True)
class Credential:
    """A policy of a case's hub, or what only looks like one."""

    rights: tuple[str, ...] = ()
    flaw: str = ""


@dataclass(frozen=True)
class Case:
    id: str
    area: str
    title: str
    asserts: str
    partitions: int = 2
    groups: tuple[str, ...] = ("cg1",)
    credentials: dict[str, Credential] = field(default_factory=dict)
    log: tuple[str, ...] = ()  # the credentials whose policies the broker's log must name
    answer: dict | None = None
    space: bool = False  # the suite makes the case's hub, in a space of the test kit


def load() -> list[Case]:
    cases = [_case(entry) for entry in json.loads(LIST.read_text(encoding="utf-8"))["cases"]]
    if len({case.id for case in cases}) != len(cases):
        raise ValueError(f"{LIST}: two cases have the same id")
    return cases


def _case(entry: dict) -> Case:
    entry = dict(entry)
    hub = entry.pop("hub", {})
    credentials = {name: Credential(tuple(c.get("rights", ())), c.get("flaw", "")) for name, c in entry.pop("credentials", {}).items()}
    case = Case(
        **{**entry, "log": tuple(entry.get("log", ()))},
        credentials=credentials,
        **{key: tuple(value) if key == "groups" else value for key, value in hub.items()},
    )
    for name, credential in credentials.items():
        if credential.flaw not in ("", *FLAWS):
            raise ValueError(f"{LIST}: case {case.id}: credential {name}: {credential.flaw!r} is not a flaw")
    if unknown := set(case.log) - set(credentials):
        raise ValueError(f"{LIST}: case {case.id}: log names no credential of the case: {unknown}")
    return case


class Stage:
    """The hubs and policies for every case in every variant, so that no two share anything and all may run at once."""

    def __init__(self, cases: list[Case], variants: list[str]):
        self.cases, self.variants = cases, variants
        self._namespace_key = _key()
        self._policies: dict[str, str] = {}  # name -> key, of the policies the broker knows
        self._strangers: dict[str, str] = {}  # name -> a key that no policy of that name has
        for case in cases:
            for variant in variants:
                for name, credential in case.credentials.items():
                    policy = policy_name(case, variant, name)
                    if credential.flaw != "unknown-policy":
                        self._policies[policy] = _key()
                    if credential.flaw in ("unknown-policy", "wrong-key"):
                        self._strangers[policy] = _key()

    def secrets(self) -> list[str]:
        """What must never be in the broker's log."""
        return [self._namespace_key, *self._policies.values(), *self._strangers.values()]

    def config(self) -> dict:
        """The broker's configuration: the official emulator's file, and our own policies beside it."""
        entities, policies = [], [{"Name": NAMESPACE_POLICY, "Key": self._namespace_key, "Rights": "Manage"}]
        for case in self.cases:
            for variant in self.variants:
                hub = hub_name(case, variant)
                groups = [{"Name": group} for group in case.groups]
                if not case.space:
                    entities.append({"Name": hub, "PartitionCount": case.partitions, "ConsumerGroups": groups})
                for name, credential in case.credentials.items():
                    policy = policy_name(case, variant, name)
                    if key := self._policies.get(policy):
                        policies.append({"Name": policy, "Key": key, "Rights": list(credential.rights), "Hub": hub})
        return {
            "UserConfig": {
                "NamespaceConfig": [{"Type": "EventHub", "Name": NAMESPACE, "Entities": entities}],
                "LoggingConfig": {"Type": "Console"},
            },
            "Evhub": {"Policies": policies, "Limits": {"IdleTimeout": f"{IDLE_TIMEOUT_SECONDS}s"}},
        }

    def plan(self, variant: str, address: str, admin: str, proxy: str) -> dict:
        """What a suite is told: README.md has the fields."""
        return {
            "variant": variant,
            "connectionString": _connection_string(address, NAMESPACE_POLICY, self._namespace_key),
            "idleTimeoutSeconds": IDLE_TIMEOUT_SECONDS,
            "admin": admin,
            "proxy": proxy,
            "cases": [
                {
                    "id": case.id,
                    "hub": hub_name(case, variant),
                    "partitions": [str(i) for i in range(case.partitions)],
                    "groups": list(case.groups),
                    "credentials": {name: self._credential(case, variant, name, address) for name in case.credentials},
                    "answer": case.answer,
                }
                for case in self.cases
            ],
        }

    def _credential(self, case: Case, variant: str, name: str, address: str) -> str:
        policy = policy_name(case, variant, name)
        if case.credentials[name].flaw == "expired-token":
            token = _sas(f"sb://{address}/{hub_name(case, variant)}", policy, self._policies[policy], int(time.time()) - 3600)
            return f"Endpoint=sb://{address};SharedAccessSignature={token};UseDevelopmentEmulator=true;"
        return _connection_string(address, policy, self._strangers.get(policy) or self._policies[policy])


def hub_name(case: Case, variant: str) -> str:
    return f"{case.id}-{variant}"


def policy_name(case: Case, variant: str, credential: str) -> str:
    return f"{case.id}-{variant}-{credential}"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _connection_string(address: str, policy: str, key: str) -> str:
    return f"Endpoint=sb://{address};SharedAccessKeyName={policy};SharedAccessKey={key};UseDevelopmentEmulator=true;"


def _sas(resource: str, policy: str, key: str, expires: int) -> str:
    resource = urllib.parse.quote(resource, safe="")
    digest = hmac.new(key.encode(), f"{resource}\n{expires}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={urllib.parse.quote(policy, safe='')}"
