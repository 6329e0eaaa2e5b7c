"""Records of families that are asked in a chat: a step per user's turn, a verdict per answer.

Besides a `Format`'s options, `open` takes the words around problem and steps: the text of the first turn and
the system message are part of what such a model was trained on, and data sets differ in them. Where the
authors' own words are long they are not in the record: `open` warns when they were not given.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.reward.format import Format
from preceptor.reward.layout import Turns
from preceptor.reward.scorer import PRM


@dataclass(frozen=True)
class TurnsFormat(Format):
    """A `Format` with a `Turns` layout."""

    paraphrased: Literal["", "first", "system"] = ""
    """The part of the layout that is in our words, not in the authors'."""
    source: str = ""
    """Where the authors' words stand."""

    def worded(self, first: str | None = None, system: str | None = None) -> TurnsFormat:
        """The same with other words. `first` has the slots `{problem}` and, behind it, `{step}`."""
        layout = self.layout
        assert isinstance(layout, Turns)
        if first is not None and "{step}" not in first.partition("{problem}")[2]:
            raise InputError(f"first: got {first!r}, expected a text with {{problem}} and then {{step}}")
        layout = replace(layout, first=first or layout.first, system=system or layout.system)
        given = {"first": first, "system": system}
        return replace(
            self, layout=layout, paraphrased="" if given.get(self.paraphrased) else self.paraphrased
        )

    def open(
        self, directory: str, *, first: str | None = None, system: str | None = None, **options: Any
    ) -> PRM:
        """The scorer for a checkpoint of this family; `first` and `system` as in `worded`."""
        fmt = self.worded(first, system)
        if fmt.paraphrased:
            warnings.warn(
                f"{self.name}: the authors' text is not in this record, a paraphrase is used and scores differ "
                f"from theirs. Give {fmt.paraphrased}=TEXT; it stands in {self.source}.",
                RuntimeWarning,
                stacklevel=2,
            )
        return Format.open(fmt, directory, **options)
