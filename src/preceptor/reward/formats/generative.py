"""Public checkpoints that write their verification: GenPRM, ThinkPRM, R-PRM, and Multi-RM's gORM and gPRM.

Opening one gives a `GenerativePRM` over a local policy, or over any policy given (a server, for instance).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.judgement import Question
from preceptor.reward.generative import RPRM, GenerativePRM, GenORM, GenPRM, MultiGenPRM, ThinkPRM

RUN = ("samples", "sampling", "seed", "missing", "chat")
"""Options of the scorer; the others are the style's."""


@dataclass(frozen=True)
class Generative:
    name: str
    style: Any
    """Class of the style."""
    shown: str
    """How the steps are put."""
    verdict: str
    models: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    aggregate: str = "last"
    threshold: float | None = 0.5
    unsure: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def question(self) -> Question:
        found: Question = self.style.question
        return found

    def open(
        self,
        directory: str,
        *,
        policy: Any = None,
        device: str | None = None,
        dtype: str = "auto",
        **options: Any,
    ) -> GenerativePRM:
        """`policy`: one that serves the checkpoint, instead of loading it here. `options`: of `GenerativePRM`
        (samples, sampling, seed, missing, chat) and of the style."""
        run = {k: options.pop(k) for k in RUN if k in options}
        style = self.style(**options)
        return GenerativePRM(
            policy if policy is not None else _policy(directory, device, dtype), style, **run
        )

    def columns(self) -> dict[str, str]:
        return {
            "prompt": "chat, own instruction",
            "tag": "-",
            "readout": "verdict word in generated text",
            "head": f"lm {' '.join(map(repr, self.style.options))}",
            "link": self.verdict,
            "steps": self.shown,
        }


def _policy(directory: str, device: str | None, dtype: str) -> Any:
    """A local policy; adapters (Multi-RM's) are merged into their base model."""
    from preceptor.policy import TransformersPolicy
    from preceptor.reward.model import is_adapter, load_language_model

    if not is_adapter(Path(directory)):
        return TransformersPolicy.load(directory, device=device, dtype=dtype)
    import torch

    model, tokenizer = load_language_model(Path(directory), dtype)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return TransformersPolicy(model.to(place), tokenizer)  # type: ignore[arg-type]


GENPRM = Generative(
    name="genprm",
    style=GenPRM,
    shown="each, a turn",
    verdict="softmax of 2, mean of N",
    models=("GenPRM/GenPRM-1.5B", "GenPRM/GenPRM-7B", "GenPRM/GenPRM-32B"),
    unsure=(
        "system text of the verdict-only mode: not found, ours is used",
        "which critique of several samples stays in the chat: not found, each sample keeps its own",
    ),
    notes=(
        "Code that the model writes is run only with open(code=Sandbox()); without it the check is left out.",
        "A critique without a verdict is no score; the published rule is open(missing='half').",
        "The authors' evaluation script joins problem and first step by one line break and no prefix: "
        "open(first='{problem}\\n{step}').",
        "Aggregation by task: last or min.",
    ),
)
THINKPRM = Generative(
    name="thinkprm",
    style=ThinkPRM,
    shown="numbered lines",
    verdict="softmax of mean log-probabilities",
    models=("launch/ThinkPRM-1.5B", "launch/ThinkPRM-7B", "launch/ThinkPRM-14B"),
    unsure=("wording of the instruction and of the double-check sentence: not found, ours are used",),
    notes=(
        "open(per='prefixes') costs a chain per step; 'solution' one chain, whose score is the last step's.",
        "Greedy for one chain; the authors sample at 0.4 for four.",
    ),
)
R_PRM = Generative(
    name="r-prm",
    style=RPRM,
    shown="each, a prompt",
    verdict="softmax of 2, mean of 10",
    models=("kevinpro/R-PRM-7B-DPO",),
    aggregate="min",
    unsure=("sampling temperature: not found, 0.7 is used",),
    notes=(
        "Needs the checkpoint's own prompt, which is in its repository: open(template=TEXT) with the slots "
        "{question}, {previous}, {step}. The default is ours and gives other scores.",
    ),
)
_MULTI = (
    "prompts: ours, after their description",
    "hub ids: dongboklee/gORM-*, gPRM-*, full names not found",
)
GORM = Generative(
    name="gorm", style=GenORM, shown="whole solution", verdict="softmax of 2, mean of 10", unsure=_MULTI
)
GPRM = Generative(
    name="gprm", style=MultiGenPRM, shown="whole solution", verdict="softmax of 2, mean of 10", unsure=_MULTI
)
