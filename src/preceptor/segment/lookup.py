"""Names of segmenters, and loading one's own.

A problem's `segmenter` is data and may come from a file, so it is only ever looked up, never imported; an
import path must be given to `load_segmenter` by the user.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from preceptor.errors import InputError
from preceptor.segment.blank_line import blank_line
from preceptor.segment.line import line
from preceptor.segment.marker import Marker
from preceptor.segment.numbered import numbered
from preceptor.segment.sentence import sentence
from preceptor.trace import Problem, Step

Segmenter = Callable[[str], tuple[Step, ...]]

SEGMENTERS: dict[str, Segmenter] = {
    "blank_line": blank_line,
    "line": line,
    "marker": Marker(),
    "numbered": numbered,
    "sentence": sentence,
}
"""Every segmenter by name. `marker:TEXT` stands for `Marker(TEXT)` and needs no entry."""


def segment(problem_or_name: Problem | str, text: str) -> tuple[Step, ...]:
    """Cut `text` into steps with the problem's segmenter, or with the one of this name.

    Raises `InputError` for a name that is not in `SEGMENTERS`.
    """
    name = problem_or_name.segmenter if isinstance(problem_or_name, Problem) else problem_or_name
    return _named(name)(text)


def load_segmenter(name: str) -> Segmenter:
    """The segmenter called `name`: in `SEGMENTERS`, `marker:TEXT`, or an import path `my_module:fn`.

    `fn` takes the text and returns steps that tile it. To make problems use it by name, put it into
    `SEGMENTERS` under that name.
    """
    module, colon, attribute = name.partition(":")
    if not colon or module == "marker":
        return _named(name)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"segmenter {name!r}: cannot be imported ({error}). Expected MODULE:FUNCTION with the module on "
            "the Python path."
        ) from error
    if not callable(found):
        raise InputError(f"segmenter {name!r}: got a {type(found).__name__}, expected a function of the text")
    return found


def _named(name: str) -> Segmenter:
    if name.startswith("marker:"):
        return Marker(name.removeprefix("marker:"))
    if name not in SEGMENTERS:
        raise InputError(
            f"segmenter: got {name!r}, expected one of {sorted(SEGMENTERS)} or marker:TEXT. "
            "Load your own with load_segmenter('my_module:fn') and put it into SEGMENTERS."
        )
    return SEGMENTERS[name]
