"""Everything that can go wrong, by who can mend it.

    PreceptorError
    ├── InputError            (ValueError)    what the user gave cannot be used; exit status 2
    │   └── RecordError                       one record of one file: names file, line and field
    ├── ModelError            (ValueError)    a model directory or checkpoint cannot be loaded as asked
    ├── BackendError          (RuntimeError)  a policy or scorer backend failed as a whole
    │   └── ServerUnreachable (ConnectionError)
    ├── StoreError            (OSError)       the store cannot be read or written
    ├── MissingExtra          (ImportError)   an optional dependency is absent; names the install line
    └── CheckFailed                           a verdict asked for came out negative; exit status 1

Messages say what happened, what was got, what was expected and what to do. A bad *item* is not an
exception: it travels as an `ItemError` on the trace, continuation or judgement it belongs to, is
counted, and never becomes a score. All classes can be pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


class PreceptorError(Exception):
    """Base of every exception raised on purpose by this package."""


class InputError(PreceptorError, ValueError):
    """What the user gave cannot be used."""


class RecordError(InputError):
    """One record of a file is malformed.

    The message always has the shape `FILE:LINE: field 'F': got G, expected E. DO.`
    """

    def __init__(
        self, path: str | Path, line: int | None, field: str | None, got: str, expected: str, do: str
    ):
        super().__init__(str(path), line, field, got, expected, do)
        self.path, self.line, self.field = str(path), line, field
        self.got, self.expected, self.do = got, expected, do

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        field = "" if self.field is None else f"field {self.field!r}: "
        return f"{place}: {field}got {self.got}, expected {self.expected}. {self.do}"


class ModelError(PreceptorError, ValueError):
    """A model directory or checkpoint cannot be loaded as asked."""


class BackendError(PreceptorError, RuntimeError):
    """A policy or scorer backend failed as a whole, not on one item."""


class ServerUnreachable(BackendError, ConnectionError):
    """No request to the server got through."""


class StoreError(PreceptorError, OSError):
    """The store cannot be read or written (full disk, not a store, other schema)."""


class MissingExtra(PreceptorError, ImportError):
    """An optional dependency is needed and absent."""

    def __init__(self, feature: str, extra: str):
        super().__init__(feature, extra)
        self.feature, self.extra = feature, extra

    def __str__(self) -> str:
        return f"{self.feature} needs the extra {self.extra!r}: pip install 'preceptor[{self.extra}]'"


class CheckFailed(PreceptorError):
    """A check the user asked for came out negative."""


@dataclass(frozen=True)
class ItemError:
    """A failure that belongs to one item and travels with it.

    `kind` is a short constant to count by (`"timeout"`, `"http-500"`, `"bad-body"`, `"too-long"`);
    `message` is for people.
    """

    kind: str
    message: str

    def to_record(self) -> dict[str, Any]:
        return {"kind": self.kind, "message": self.message}

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> ItemError | None:
        return None if record is None else cls(record["kind"], record["message"])
