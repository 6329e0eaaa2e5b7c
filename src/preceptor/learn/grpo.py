"""GRPO with per-token advantages from `preceptor.credit`, on TRL's trainer.

TRL keeps the loop, the clipped loss, KL, accumulation and the distributed plumbing. Replaced are where
completions come from (`RolloutSource`, through `rollout_func`) and what their advantages are: the `(B,)`
vector becomes a `(B, C)` matrix before TRL shuffles and splits the batch. Two private methods are
overridden, pinned by `tests/learn/test_trl_contract.py`; the extra `rl` pins TRL's minor version.

Shapes: B rows of one process, C the longest completion of the batch.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from preceptor.credit import CreditConfig, Rollout, Signals, compute, rollout_of, signals_of
from preceptor.credit.types import AdvantageBatch
from preceptor.judgement import Scorer
from preceptor.learn.rollouts import RolloutSource
from preceptor.trace import Problem, Trace
from preceptor.usage import Usage

LOSS_TYPES = {"token_mean": "dapo", "sequence_mean": "grpo", "constant": "dr_grpo"}
"""`CreditConfig.aggregation` -> TRL's `loss_type`."""


class CreditGRPOTrainer(GRPOTrainer):
    """Rows of the data set need a `prompt` (for TRL's log only) and a `problem`: an index into `problems`."""

    def __init__(
        self,
        *,
        source: RolloutSource,
        problems: Sequence[Problem],
        credit: CreditConfig,
        scorer: Scorer | None,
        args: GRPOConfig,
        **options: Any,
    ):
        self.source, self.problems, self.credit, self.scorer = source, problems, credit, scorer
        self.scored = Usage()
        self.seconds: dict[str, float] = {"scoring": 0.0, "credit": 0.0}
        self.last_traces: list[Trace] = []
        self.last_batch: AdvantageBatch | None = None
        self._asked: list[Problem] = []
        args.loss_type = LOSS_TYPES[credit.aggregation]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rollout_func'.*", category=UserWarning)
            super().__init__(
                model=source.policy.model,
                processing_class=source.policy.tokenizer,
                reward_funcs=[outcome],
                rollout_func=self._sample,
                args=args,
                **options,
            )

    def _sample(self, prompts: list[Any], trainer: GRPOTrainer) -> dict[str, list[Any]]:
        """TRL's `rollout_func(prompts, trainer)`: one completion a row, in order.

        A completion that failed is one end-of-text token which is never trained on.
        """
        training = self.source.policy.model.training
        group = self.num_generations if training else self.num_generations_eval
        first = self.accelerator.process_index * len(self._asked)
        draws = [(first + i) % group for i in range(len(self._asked))]
        purpose = "train" if training else "eval"
        traces = self.source.traces(self._asked, draws, purpose, self.state.global_step)
        self.last_traces = traces
        end = self.source.policy.tokenizer.eos_token_id
        return {
            "prompt_ids": [self.source.prompt_ids(p) for p in self._asked],
            "completion_ids": [list(t.token_ids or (end,)) for t in traces],
            "logprobs": [list(t.logprobs or (0.0,)) for t in traces],
            "outcome": [rollout_of(t).outcome for t in traces],
        }

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._asked = [self.problems[row["problem"]] for row in inputs]
        out = super()._generate_and_score_completions(inputs)
        batch = self._credit(self.last_traces)
        mine = slice(self.accelerator.process_index * len(inputs), None)
        shape, device = out["completion_ids"].shape, out["completion_ids"].device
        advantages, weights = torch.zeros(shape), torch.zeros(shape)
        rows = zip(batch.advantages[mine], batch.token_weights[mine])
        for i, (a, w) in zip(range(shape[0]), rows):
            advantages[i, : len(a)] = torch.from_numpy(a * w)
            weights[i, : len(w)] = torch.from_numpy(w)
        out["advantages"] = advantages.to(device)
        # dropped rows leave the denominator too, or they would dilute the others
        out["tool_mask"] = (weights > 0).long().to(device)
        trained = (out["completion_mask"] * out["tool_mask"]).sum()
        out["num_items_in_batch"] = self.accelerator.gather(trained).sum()
        return out

    def _credit(self, traces: list[Trace]) -> AdvantageBatch:
        """Advantages of the whole batch over all processes: a group may straddle two of them."""
        began = time.perf_counter()
        rollouts: list[Rollout] = [rollout_of(t) for t in traces]
        judged = self._score(traces)
        scored = time.perf_counter()
        rollouts = gather_object(rollouts)
        signals = None
        if self.scorer is not None and judged is not None:
            signals = Signals(tuple(gather_object(list(judged.scores))), judged.question)
        self.last_batch = compute(rollouts, signals, self.credit)
        self.seconds["scoring"] += scored - began
        self.seconds["credit"] += time.perf_counter() - scored
        return self.last_batch

    def _score(self, traces: list[Trace]) -> Signals | None:
        if self.scorer is None or self.credit.step_reward == "none":
            return None
        judgements = self.scorer.score(traces)
        for judgement in judgements:
            self.scored += judgement.usage.policy + judgement.usage.scorer
        return signals_of(judgements, self.scorer.question)


def outcome(prompts: list[Any], outcome: list[float | None], **_: Any) -> list[float | None]:
    """TRL's reward, for TRL's own log; the advantages do not come from it."""
    return outcome
