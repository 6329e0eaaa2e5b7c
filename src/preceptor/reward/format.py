"""How a reward model is to be read: the settings that travel in its `config.json`.

A checkpoint whose separator, readout or link has to be guessed gives wrong scores in silence. Models
trained here carry one record under the key `preceptor`; a directory therefore describes itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from preceptor.errors import ModelError
from preceptor.judgement import Question
from preceptor.reward.link import LINKS

KEY = "preceptor"
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class Format:
    """Token classification read at a separator token that stands after every step."""

    separator: str
    separator_id: int
    question: Question
    link: str = "softmax"
    """Name in `preceptor.reward.link.LINKS`."""
    max_length: int = UNLIMITED
    """Tokens of one row; longer traces are read through windows (see `render.py`)."""
    version: int = 1

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise ModelError(f"link: got {self.link!r}, expected one of {sorted(LINKS)}")

    def to_record(self) -> dict[str, Any]:
        return {**asdict(self), "question": self.question.value}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Format:
        known = {f.name for f in fields(cls)}
        missing = {"separator", "separator_id", "question"} - record.keys()
        if missing or record.get("version", 1) != 1:
            raise ModelError(
                f"config key {KEY!r}: got {dict(record)}, expected version 1 with the fields "
                f"{sorted(known)}. The model was saved by another version of this package, or edited."
            )
        values = {name: value for name, value in record.items() if name in known}
        return cls(**{**values, "question": Question(record["question"])})


def context_length(config: Any) -> int:
    """Tokens the model was built for; `UNLIMITED` where its config names no limit."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else UNLIMITED
