"""Writes golden.json: what pydantic makes of Python values, for json_test.go to compare with.

    pip install pydantic==2.14.3
    python golden.py
"""

import json
import pathlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    y: int


class Order(BaseModel):
    id: int
    customer: str | None
    lines: list[str]
    took: timedelta


class Loop(list):
    def __init__(self):
        super().__init__([self])


ROWS = {
    "text": "'plain'",
    "text empty": "''",
    "text for html": "'<&>é'",
    "text quotes": "'\"\\\\/'",
    "text control": "'\\x00\\x01\\x08\\t\\n\\x0c\\r\\x1f\\x7f'",
    "text emoji": "'😀'",
    "text lone surrogate": "'\\ud800'",
    "text line separators": "'\\u2028\\u2029'",
    "int": "1",
    "int negative": "-7",
    "int largest": "2**63 - 1",
    "int least": "-2**63",
    "int unsigned": "2**64 - 1",
    "int huge": "2**70",
    "int huge negative": "-2**70",
    "float": "0.1",
    "float whole": "1.0",
    "float large": "1e16",
    "float larger": "1e21",
    "float small": "1e-7",
    "float less small": "1e-5",
    "float largest": "1.7976931348623157e308",
    "float negative zero": "-0.0",
    "float nan": "float('nan')",
    "float infinity": "float('inf')",
    "float negative infinity": "float('-inf')",
    "true": "True",
    "false": "False",
    "none": "None",
    "dict empty": "{}",
    "dict nested": "{'a': {'b': {'c': [1, {'d': None}]}}}",
    "dict order": "{'b': 1, 'a': 2}",
    "dict int keys": "{1: 'a', 2: 'b', 10: 'c'}",
    "dict bool key": "{True: 1}",
    "dict duration key": "{timedelta(days=1): 1}",
    "dict html key": "{'<é>': 1}",
    "list empty": "[]",
    "list nested": "[[], [1, [2]], [None, 'a', True]]",
    "list of itself": "Loop()",
    "tuple": "(1, 'a')",
    "set": "{3}",
    "set empty": "set()",
    "frozenset": "frozenset(['a'])",
    "date": "date(2026, 11, 22)",
    "time": "time(13, 4, 5)",
    "time microseconds": "time(13, 4, 5, 60)",
    "datetime naive": "datetime(2026, 11, 22, 13, 4, 5)",
    "datetime utc": "datetime(2026, 11, 22, 13, 4, 5, tzinfo=timezone.utc)",
    "datetime offset": "datetime(2026, 11, 22, 13, 4, 5, tzinfo=timezone(timedelta(hours=-5, minutes=-30)))",
    "datetime microseconds": "datetime(2026, 11, 22, 13, 4, 5, 123456, tzinfo=timezone.utc)",
    "datetime milliseconds": "datetime(2026, 11, 22, 13, 4, 5, 120000, tzinfo=timezone.utc)",
    "timedelta zero": "timedelta(0)",
    "timedelta seconds": "timedelta(seconds=1)",
    "timedelta minutes": "timedelta(minutes=90)",
    "timedelta days": "timedelta(days=1, hours=1, minutes=2, seconds=3, milliseconds=500)",
    "timedelta week": "timedelta(weeks=1)",
    "timedelta year": "timedelta(days=365)",
    "timedelta years": "timedelta(days=800, seconds=1)",
    "timedelta microsecond": "timedelta(microseconds=1)",
    "timedelta negative": "timedelta(seconds=-1)",
    "timedelta negative days": "timedelta(days=-400, microseconds=-7)",
    "decimal": "Decimal('1.10')",
    "decimal exponent": "Decimal('1E+3')",
    "decimal nan": "Decimal('NaN')",
    "uuid": "UUID('0e3a2049-2169-4a40-5807-2fb17f25eb17')",
    "bytes": "'hé'.encode()",
    "bytes empty": "b''",
    "bytes not utf-8": "b'\\xff'",
    "enum text": "Colour.RED",
    "enum int": "Level.HIGH",
    "dataclass": "Point(1, 2)",
    "model": "Order(id=1, customer=None, lines=['a'], took=timedelta(hours=1))",
    "complex": "1 + 2j",
    "object": "object()",
    "function": "print",
}

adapter = TypeAdapter(dict[str, Any])


def row(name: str, expression: str) -> dict[str, str]:
    try:
        return {"name": name, "python": expression, "json": adapter.dump_json({"v": eval(expression)}).decode()}
    except ValueError as e:  # PydanticSerializationError is one
        return {"name": name, "python": expression, "error": str(e).splitlines()[0]}


def main() -> None:
    rows = [row(name, expression) for name, expression in ROWS.items()]
    text = json.dumps(rows, indent="\t") + "\n"
    pathlib.Path(__file__).with_name("golden.json").write_text(text, encoding="utf-8")


main()
