"""TRL's own GRPOTrainer and its own sampling, with per-token advantages of preceptor.credit; one process."""

from itertools import accumulate

import torch
from trl import GRPOTrainer

from preceptor.credit import compute, rollout_of, signals_of
from preceptor.generation import Continuation
from preceptor.policy.sample import trace_of
from preceptor.trace import Finish


class StepCreditTrainer(GRPOTrainer):
    """Rows need a text `prompt`; `problems`: prompt -> Problem, by which a completion is cut into steps and graded."""

    def __init__(self, *, problems, credit, scorer, **options):
        self.problems, self.credit, self.judge = problems, credit, scorer
        super().__init__(reward_funcs=[lambda prompts, **_: [0.0] * len(prompts)], **options)

    def trace(self, row, ids):
        """Graded, in steps, in the sampled ids."""
        tokenizer = self.processing_class
        shown = [tokenizer.decode(ids[: k + 1], skip_special_tokens=True) for k in range(len(ids))]
        lengths = accumulate(map(len, reversed(shown)), min)  # a character may take several tokens
        finish = Finish.STOP if ids and ids[-1] == tokenizer.eos_token_id else Finish.LENGTH
        said = Continuation("".join(shown[-1:]), finish, tuple(ids), tuple(lengths)[::-1])
        return trace_of(self.problems[row["prompt"]], said, policy="trl")

    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        kept = [ids[mask.bool()].tolist() for ids, mask in zip(out["completion_ids"], out["completion_mask"])]
        traces = [self.trace(row, ids) for row, ids in zip(inputs, kept, strict=True)]
        signals = signals_of(self.judge.score(traces), self.judge.question)
        self.batch = compute([rollout_of(t) for t in traces], signals, self.credit)
        advantages = torch.zeros_like(out["completion_ids"], dtype=torch.float32)
        for row, own in zip(advantages, self.batch.advantages, strict=True):
            row[: len(own)] = torch.from_numpy(own)
        out["advantages"] = advantages  # (B, C) where TRL had (B,): its loss takes both
        return out
