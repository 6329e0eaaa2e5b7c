"""EurusPRM ("Free Process Rewards without Process Labels"): two language models, read by their log-ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.implicit import ImplicitPRM
from preceptor.reward.likelihood.log_ratio import LogRatio


@dataclass(frozen=True)
class Eurus:
    name: str = "eurus"
    models: tuple[str, ...] = ("PRIME-RL/EurusPRM-Stage1", "PRIME-RL/EurusPRM-Stage2")
    architectures: tuple[str, ...] = ()
    question: Question = Question.VALUE
    aggregate: str = "min"
    threshold: float | None = 0.5005
    """Of sigmoid(q_t) at coef 0.005; tuned on GSM8K."""
    coef: float = 0.005
    needs: tuple[str, ...] = ("reference",)
    """Options without which `open` refuses."""
    unsure: tuple[str, ...] = (
        "reference model: a Qwen2.5-Math-7B-Instruct in the model card (from memory); the authors' evaluation "
        "script names Qwen2.5-7B-Instruct",
        "aggregation: min is Stage1's; Stage2's was not found",
        "reading without reference: nearly as good when it is the initial model (from memory)",
    )
    notes: tuple[str, ...] = (
        "Needs two models: open(directory, reference=DIR), the model that training started from.",
        "Both must have the same vocabulary; log-probabilities are fp32.",
        "coef 0.005 is the run script's; the code's default is 0.001; training used beta 0.05.",
        "open(form='single') scores steps alone (c_t - c_{t-1}); the default is cumulative.",
        "open(sigmoid=False) gives c_t itself, with no threshold.",
        "The published code ends all steps but the last one token too far; here offsets of one encoding are used.",
    )

    def open(
        self,
        directory: str,
        *,
        reference: str | None = None,
        coef: float | None = None,
        form: Literal["accumulative", "single"] = "accumulative",
        sigmoid: bool = True,
        **options: Any,
    ) -> ImplicitPRM:
        """`reference`: a model directory or hub id, or `"none"` for coef * log p of the one model. `options`:
        `device`, `dtype` of both."""
        if reference is None:
            raise InputError(
                f"{directory}: a {self.name} checkpoint is read against the model it was trained from. Give it: "
                'reference=DIR, or reference="none" for its own log-probabilities alone.'
            )
        from preceptor.policy import TransformersPolicy

        model = TransformersPolicy.load(directory, **options)
        other: Any = None if reference == "none" else TransformersPolicy.load(reference, **options)
        ratio = LogRatio(
            model,  # type: ignore[arg-type, unused-ignore]
            other,
            coef=self.coef if coef is None else coef,
            form=form,
            sigmoid=sigmoid,
            threshold=self.threshold if sigmoid else None,
        )

        def ends(text: str) -> list[int]:
            found = model.tokenizer(
                text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
            )
            return [end for _, end in found["offset_mapping"]]

        return ImplicitPRM(ratio, self.name, ends=ends if model.tokenizer.is_fast else None)

    def columns(self) -> dict[str, str]:
        return {
            "prompt": "chat, generation prompt",
            "tag": "'\\n\\n'",
            "readout": "last token of the step, sum",
            "head": "log-ratio of two models",
            "link": f"{self.coef} * sum, sigmoid",
            "steps": "each, numbered",
        }


EURUS = Eurus()
