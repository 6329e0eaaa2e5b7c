"""Text to steps: one file a segmenter, every one lossless.

`tile.py` makes the steps from cut positions and guarantees that they cover the text; `line.py`,
`blank_line.py`, `numbered.py`, `marker.py`, `sentence.py` say where to cut; `lookup.py` maps names to them.

To add one: a file with a function from text to cut positions handed to `tile`, an entry in `SEGMENTERS`, a
row in the property tests. Rules all share: delimiters belong to the step they end, blank text joins the
step before it (at the beginning: the first step), an empty text has no steps, linear time.
"""

from preceptor.segment.blank_line import blank_line
from preceptor.segment.line import line
from preceptor.segment.lookup import SEGMENTERS, Segmenter, load_segmenter, segment
from preceptor.segment.marker import Marker
from preceptor.segment.numbered import numbered
from preceptor.segment.sentence import sentence
from preceptor.segment.tile import tile

__all__ = [
    "SEGMENTERS",
    "Marker",
    "Segmenter",
    "blank_line",
    "line",
    "load_segmenter",
    "numbered",
    "segment",
    "sentence",
    "tile",
]
