"""How a reward model is to be read: layout, head, link, and what its authors say of it.

A checkpoint whose separator, readout or link has to be guessed gives wrong scores in silence. The records of
public families are in `formats/`; a model trained here carries its own in `config.json` under the key
`preceptor`, so that its directory describes itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from preceptor.errors import ModelError
from preceptor.judgement import Question
from preceptor.reward.head import HEADS, HeadSpec, Linear
from preceptor.reward.layout import LAYOUTS, PROMPTS, Layout, PolicyPrompt, Tagged
from preceptor.reward.link import SOFTMAX, Link

if TYPE_CHECKING:
    from preceptor.reward.scorer import PRM

KEY = "preceptor"
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class Format:
    """A reward model that is read at one position per step."""

    layout: Layout
    head: HeadSpec = field(default_factory=Linear)
    link: Link = SOFTMAX
    question: Question = Question.VALIDITY
    whole: bool = False
    """An outcome model: the solution as one step."""
    max_length: int = UNLIMITED
    """Tokens of one row; longer traces are read through windows (see `render.py`)."""
    name: str = ""
    models: tuple[str, ...] = ()
    """Hub ids."""
    architectures: tuple[str, ...] = ()
    """`config.json`'s names that mean this format and no other."""
    aggregate: str = ""
    """How its authors make one score of the steps' (`preceptor.search.aggregate`)."""
    threshold: float | None = 0.5
    """A step below it is wrong, by its authors; None: scores only rank."""
    unsure: tuple[str, ...] = ()
    """What of this record is from memory or was not found."""
    notes: tuple[str, ...] = ()
    """Traps of the public checkpoints."""
    trajectory: float = 0.0
    """For layouts that read the whole trajectory too: how much of its score is added to every step's."""

    def open(self, directory: str, **options: Any) -> PRM:
        """The scorer for a checkpoint of this family."""
        from preceptor.reward.scorer import PRM

        return PRM.load(directory, fmt=self, **options)

    def columns(self) -> dict[str, str]:
        """What `preceptor formats` shows."""
        tagged = isinstance(self.layout, Tagged)
        words = getattr(self.head, "words", None)
        return {
            "prompt": type(self.layout.prompt).__name__.lower()
            if isinstance(self.layout, Tagged)
            else "turns",
            "tag": repr(self.layout.tag) if self.layout.tag else "-",
            "readout": self.layout.read if isinstance(self.layout, Tagged) else "before-verdict",
            "head": type(self.head).__name__.lower() + (f" {' '.join(map(repr, words))}" if words else ""),
            "link": f"{self.link.activation} "
            + ("spread" if self.link.spread else str(self.link.weights or "mean")),
            "steps": "whole solution" if self.whole else "each" if tagged else "each, a turn",
        }

    def to_record(self) -> dict[str, Any]:
        """JSON values; `from_record` gives the same format back."""
        layout = {"kind": _kind(LAYOUTS, self.layout), **asdict(self.layout)}  # type: ignore[call-overload]
        if isinstance(self.layout, Tagged):
            prompt = self.layout.prompt
            layout["prompt"] = {"kind": _kind(PROMPTS, prompt), **asdict(prompt)}
        record = {"version": 2, "name": self.name, "question": self.question.value, "layout": layout}
        return record | {
            "head": {"kind": _kind(HEADS, self.head), **asdict(self.head)},
            "link": asdict(self.link),
            "whole": self.whole,
            "trajectory": self.trajectory,
            "max_length": self.max_length,
            "threshold": self.threshold,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Format:
        try:
            if record["version"] != 2:
                raise ValueError(f"version {record['version']}")
            layout = dict(record["layout"])
            if "prompt" in layout:
                layout["prompt"] = _object(PROMPTS, layout["prompt"])
            return cls(
                layout=_object(LAYOUTS, layout),
                head=_object(HEADS, record["head"]),
                link=Link(**_tuples(record["link"])),
                question=Question(record["question"]),
                whole=record["whole"],
                trajectory=record.get("trajectory", 0.0),
                max_length=record["max_length"],
                name=record["name"],
                threshold=record["threshold"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise ModelError(
                f"config key {KEY!r}: got {dict(record)}, expected version 2 with layout, head and link "
                f"({type(e).__name__}: {e}). The model was saved by another version of this package, or edited."
            ) from e

    def within(self, limit: int) -> Format:
        """The same with rows of at most `limit` tokens."""
        return replace(self, max_length=min(self.max_length, limit))


def own_layout(separator: str) -> Tagged:
    """The layout of the models trained here: the policy's prompt, and a separator token after every step."""
    return Tagged(separator, PolicyPrompt(), strip="right")


def context_length(config: Any) -> int:
    """Tokens the model was built for; `UNLIMITED` where its config names no limit."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else UNLIMITED


def _kind(kinds: Mapping[str, type], value: object) -> str:
    return next(name for name, cls in kinds.items() if type(value) is cls)


def _object(kinds: Mapping[str, type], record: Mapping[str, Any]) -> Any:
    values = _tuples(record)
    return kinds[values.pop("kind")](**values)


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
