"""A value head on a policy: one number in [-1, 1] at the end of a step, by tanh, from the last hidden state.

While it is trained it hangs on the language model, so that checkpoints hold it; saved, it is a file of the run beside
`model` (`value_head.safetensors`), whose directory stays an ordinary one. It starts at 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from preceptor.errors import ModelError
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.data.rows import Row, step_pieces
from preceptor.learn.supervised.encode import Encoded, encode
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from preceptor.policy import TransformersPolicy

NAME, FILE = "value_head", "value_head.safetensors"


def attach(model: Any) -> nn.Linear:
    """The model's value head, made where it has none."""
    if not hasattr(model, NAME):
        head = nn.Linear(model.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        model.add_module(NAME, head.to(model.device, model.dtype))
    found: nn.Linear = getattr(model, NAME)
    return found


def detach(model: Any) -> nn.Linear:
    """Take the head off, before the model is saved as a language model."""
    head: nn.Linear = getattr(model, NAME)
    delattr(model, NAME)
    return head


def save(head: nn.Linear, directory: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}, directory / FILE)


def load(directory: str | Path) -> nn.Linear:
    from safetensors.torch import load_file

    if not (Path(directory) / FILE).is_file():
        raise ModelError(f"{directory}: got no {FILE}, expected one. Train with `value_weight`.")
    state = load_file(Path(directory) / FILE)
    head = nn.Linear(state["weight"].shape[1], 1)
    head.load_state_dict(state)
    return head


def outputs(model: Any, head: nn.Linear, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L) before tanh, and the logits (B, L, V), from one pass."""
    found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    return head(found.hidden_states[-1]).squeeze(-1), found.logits


class ValueScorer:
    """Judges the value of prefixes: (1 + tanh) / 2 at the last token of each step."""

    question = Question.VALUE

    def __init__(self, policy: TransformersPolicy, head: nn.Linear, *, rows: int = 16):
        self.policy, self.head, self.rows = policy, head.to(policy.model.device), rows

    @classmethod
    def of_run(cls, out: str | Path) -> ValueScorer:
        """From the directory of a run of `train_supervised` with `value_weight`."""
        from preceptor.policy import TransformersPolicy

        return cls(TransformersPolicy.load(Path(out) / "model", dtype="float32"), load(out))

    @property
    def source(self) -> Source:
        return Source.of("value-head", policy=self.policy.fingerprint)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        source, out = self.source, []
        for at in range(0, len(traces), self.rows):
            part = traces[at : at + self.rows]
            rows = [encode(_asked(t), self.policy.tokenizer) for t in part]
            for trace, row, read in zip(part, rows, self._read(rows), strict=True):
                cost = Ledger(scorer=Usage(scored=len(row.ids), calls=1))
                scores = tuple((1 + v) / 2 for v in read)
                out.append(Judgement(trace.id, self.question, source, scores, usage=cost))
        return out

    def _read(self, rows: Sequence[Encoded]) -> list[list[float]]:
        model: Any = self.policy.model
        was, longest = model.training, max(len(r.ids) for r in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        model.eval()
        with torch.no_grad():
            found, _ = outputs(model, self.head, ids.to(model.device), mask.to(model.device))
        model.train(was)
        values = found.tanh().float().cpu()
        return [[float(values[i, k]) for k, _ in row.values] for i, row in enumerate(rows)]


def _asked(trace: Trace) -> Row:
    """The trace with a reading at the end of every step."""
    n = len(trace.steps)
    return Row(trace.problem, step_pieces(trace, [None] * n, [0.0] * n), end=False)
