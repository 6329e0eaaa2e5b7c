r"""Steps that end with a marker written into the text by a data set or a policy.

Published markers: `ки` (Math-Shepherd), `<extra_0>` (Qwen, ActPRM), `\n\n\n\n\n` (openr), `ş` (UnPRM),
`<prm>` (MM-PRM). The marker stays in the step it ends. Where text begins with the problem, the problem may
contain the marker too: `Marker(m).after(problem)` skips those occurrences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice

from preceptor.errors import InputError
from preceptor.segment.tile import tile
from preceptor.trace import Step


@dataclass(frozen=True)
class Marker:
    """A segmenter that cuts after `marker` and the line ends that follow it."""

    marker: str = "ки"
    skip: int = 0
    """The first `skip` occurrences are part of a quoted problem and do not cut."""

    def __post_init__(self) -> None:
        if not self.marker or self.skip < 0:
            raise InputError(
                f"marker segmenter: got marker {self.marker!r} and skip {self.skip}, expected a non-empty "
                "marker and skip >= 0"
            )

    def after(self, problem: str) -> Marker:
        """The same segmenter for texts that begin with `problem`."""
        return replace(self, skip=self.skip + problem.count(self.marker))

    def __call__(self, text: str) -> tuple[Step, ...]:
        """Steps of `text`; a piece that holds nothing but markers joins the step before it."""
        found = re.finditer(re.escape(self.marker) + r"(?:[ \t\r]*+\n)*+", text)
        return tile(text, (m.end() for m in islice(found, self.skip, None)), self._blank)

    def _blank(self, piece: str) -> bool:
        return not piece.replace(self.marker, "").strip()
