"""GRPO with per-token advantages from `preceptor.credit`, on TRL's trainer.

TRL keeps the loop, the clipped loss, KL, accumulation and the distributed plumbing. Replaced are where
completions come from (`RolloutSource`, through `rollout_func`) and what their advantages are: the `(B,)`
vector becomes a `(B, C)` matrix before TRL shuffles and splits the batch, whose parts are then cut anew by
length (`trim.py`). Four private methods are overridden, pinned by `tests/learn/test_trl_contract.py`; the
extra `rl` pins TRL's minor version.

With `use_vllm` TRL's vLLM engine samples and its log-probabilities correct the loss; tested against a stand-in
for that engine only, not against vLLM.

Hooks, for curricula and repairs (`preceptor.learn.data` has them): `prepare(problems, step)` gives as many problems
with different ids to sample instead, alike in every process; `amend(items, source)` stands between grading and
credit, on the items of one process.

Two losses beside the clipped one, as options: `echo`, the cross-entropy on what an environment wrote
(`supervised.echo`), and `ratio_free`, no ratio and no clipping (R^3L).

Shapes: B rows of one process, C the longest completion of the batch.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from preceptor.credit import AdvantageBatch, CreditConfig, Rollout, Signals, compute, rollout_of, signals_of
from preceptor.errors import InputError
from preceptor.judgement import Scorer
from preceptor.learn.data.hooks import Amend, Item, Prepare, items_of
from preceptor.learn.figures import Written, written
from preceptor.learn.rollouts import RolloutSource
from preceptor.learn.settings import wanted
from preceptor.learn.signals.nodes import with_nodes
from preceptor.learn.supervised.echo import observation_mask
from preceptor.learn.trim import by_length
from preceptor.trace import Problem, Trace
from preceptor.usage import Usage

LOSS_TYPES = {"token_mean": "dapo", "sequence_mean": "grpo", "constant": "dr_grpo"}
"""`CreditConfig.aggregation` -> TRL's `loss_type`."""

SHAPING = 0.1
"""gamma of `supervised.losses.shaped`."""


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
        prepare: Prepare | None = None,
        amend: Amend | None = None,
        echo: float = 0.0,
        echo_longest: int | None = None,
        ratio_free: bool = False,
        **options: Any,
    ):
        self.source, self.problems, self.credit, self.scorer = source, problems, credit, scorer
        self.prepare, self.amend = prepare, amend
        self.echo, self.echo_longest, self.ratio_free = echo, echo_longest, ratio_free
        self.scored = Usage()
        self.seconds: dict[str, float] = {"scoring": 0.0, "credit": 0.0}
        self.batches = 0
        self.last_items: list[Item] = []
        self.last_rollouts: list[Rollout] = []
        self.last_written: list[Written] = []
        self.last_notes: Counter[str] = Counter()
        """What a hook did, over all processes."""
        self.last_signals: Signals | None = None
        self.last_batch: AdvantageBatch | None = None
        self.last_update: dict[str, float] = {}
        self._asked: list[Problem] = []
        self._part: dict[str, Any] | None = None
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

    @property
    def _training(self) -> bool:
        return bool(self.source.policy.model.training)

    @property
    def _group(self) -> int:
        own = self.num_generations if self._training else self.num_generations_eval
        return int(own or 0)

    def _problems(self, inputs: list[dict[str, Any]]) -> list[Problem]:
        """What this process is to sample, a problem a row. Groups may straddle processes."""
        rows: list[int] = gather_object([row["problem"] for row in inputs])
        chosen = [self.problems[i] for i in rows[:: self._group]]
        if self.prepare is not None:
            prepared = list(self.prepare(chosen, self.state.global_step))
            if len({p.id for p in prepared}) != len(chosen) or len(prepared) != len(chosen):
                raise InputError(
                    f"prepare: got {len(prepared)} problems with {len({p.id for p in prepared})} different ids, "
                    f"expected {len(chosen)} different ones: equal ones would draw equal completions."
                )
            chosen = prepared
        first = self.accelerator.process_index * len(inputs)
        return [chosen[(first + i) // self._group] for i in range(len(inputs))]

    def _sample(self, prompts: list[Any], trainer: GRPOTrainer) -> dict[str, list[Any]]:
        """TRL's `rollout_func(prompts, trainer)`: one completion a row, in order.

        A completion that failed is one end-of-text token which is never trained on.
        """
        first = self.accelerator.process_index * len(self._asked)
        draws = [(first + i) % self._group for i in range(len(self._asked))]
        purpose = "train" if self._training else "eval"
        engine = self._vllm if self.use_vllm else None
        traces = self.source.traces(self._asked, draws, purpose, self.state.global_step, engine=engine)
        self.last_items = items = self._amended(items_of(traces))
        end = self.source.policy.tokenizer.eos_token_id
        ids = [list(x.trace.token_ids or (end,)) for x in items]
        return {
            "prompt_ids": [self.source.prompt_ids(x.trace.problem) for x in items],
            "completion_ids": ids,
            # unknown is NaN, which TRL does not correct for; 0 would be a certainty, and its ratio nearly 0
            "logprobs": [
                list(x.trace.logprobs or [math.nan] * len(i)) for x, i in zip(items, ids, strict=True)
            ],
            "outcome": [x.outcome for x in items],
        }

    @property
    def last_traces(self) -> list[Trace]:
        return [x.trace for x in self.last_items]

    def _vllm(self, prompts: list[list[int]]) -> list[tuple[list[int], list[float]]]:
        _, ids, logprobs, _ = self.vllm_generation.generate(
            prompts=prompts, images=None, num_generations=self._group
        )
        return [(list(i), [at[0] for at in row]) for i, row in zip(ids, logprobs, strict=True)]

    def _amended(self, items: list[Item]) -> list[Item]:
        """As many as came; what a hook appends is dropped, for the batch has a fixed size."""
        found = items if self.amend is None else list(self.amend(items, self.source))
        if len(found) < len(items):
            raise InputError(
                f"amend: got {len(found)} items, expected at least the {len(items)} given, in their order."
            )
        return found[: len(items)]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._asked = self._problems(inputs)
        out = super()._generate_and_score_completions(inputs)
        batch = self._credit(self.last_items)
        mine = slice(self.accelerator.process_index * len(inputs), None)
        like = out["completion_ids"]
        weights = _padded(batch.token_weights[mine], like)
        out["advantages"] = _padded(batch.advantages[mine], like) * weights
        # dropped rows leave the denominator too, or they would dilute the others
        out["tool_mask"] = (weights > 0).long()
        trained = (out["completion_mask"] * out["tool_mask"]).sum()
        out["num_items_in_batch"] = self.accelerator.gather(trained).sum()
        if batch.clip_low is not None and batch.clip_high is not None:
            out["clip_low"] = _padded(batch.clip_low[mine], like, self.epsilon_low)
            out["clip_high"] = _padded(batch.clip_high[mine], like, self.epsilon_high)
        if any(x.off_policy for x in self.last_items):
            marks = [np.array(x.off_policy or (False,), dtype=np.float32) for x in self.last_items]
            out["off_policy"] = _padded(marks, like) > 0
        if self.echo:
            # of all rows, those that are not trained on included
            own = [x.trace.sampled or (True,) for x in self.last_items]
            marks = [observation_mask(x, longest=self.echo_longest).astype(np.float32) for x in own]
            out["observed"] = _padded(marks, like) > 0
            out["observed_in_batch"] = self.accelerator.gather(out["observed"].sum()).sum()
        return out

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        before = self._buffered_inputs
        part: dict[str, Any] = super()._prepare_inputs(generation_batch)
        if not self._training or self._buffered_inputs is before:
            return part
        self._buffered_inputs = by_length(self._buffered_inputs)
        return self._buffered_inputs[self._step % len(self._buffered_inputs)]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """With a clip range a token where the method gives one (both bounds are tensors or neither is), shaped
        probabilities in place of the ratio for tokens that the policy did not sample, and ECHO's second term."""
        self._part = inputs = dict(inputs)
        if self.ratio_free:
            # without it the base class takes today's probabilities, detached: a ratio of 1, whose gradient is log pi's
            inputs.pop("old_per_token_logps", None)
            if "importance_sampling_ratio" in inputs:
                inputs["importance_sampling_ratio"] = torch.ones_like(inputs["importance_sampling_ratio"])
        own = self.epsilon_low, self.epsilon_high
        self.epsilon_low, self.epsilon_high = inputs.get("clip_low", own[0]), inputs.get("clip_high", own[1])
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._part, (self.epsilon_low, self.epsilon_high) = None, own
        return loss + self.echo * self._observation_loss(inputs) if self.echo else loss

    def _observation_loss(self, inputs: dict[str, Any]) -> torch.Tensor:
        """This part's share in the mean over the whole batch's observation tokens, so that micro-batches add up to it
        whatever `loss_type` does."""
        args: Any = self.args
        parts = self.current_gradient_accumulation_steps if self._training else 1
        count = inputs["observed_in_batch"].clamp(min=1) / self.accelerator.num_processes
        if self._training:
            count = count * parts / args.steps_per_generation
        share = torch.where(inputs["observed"], -inputs["logps"], 0.0).sum() / count
        if inputs["observed_in_batch"] > 0:
            seen = self.accelerator.gather(share.detach()).mean().item() * parts
            self._metrics["train" if self._training else "eval"]["observation_loss"].append(seen)
        return share

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        """The base class reads advantages after this call: the one place where today's probabilities are known."""
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        if self._part is not None:
            self._part["logps"] = found[0]
        if self._part is not None and "off_policy" in self._part:
            inputs, now = self._part, found[0].detach()
            off, advantages, pi = inputs["off_policy"], inputs["advantages"], now.exp()
            if getattr(getattr(self.amend, "__self__", self.amend), "drop_negative", False):
                advantages = torch.where(off, advantages.clamp(min=0.0), advantages)
            # the gradient of -A pi / (pi + gamma), as a ratio of 1 would give it
            weight = torch.where(off, SHAPING * pi / (pi + SHAPING) ** 2, 1.0)
            inputs["advantages"] = advantages * weight
            if "old_per_token_logps" in inputs:
                inputs["old_per_token_logps"] = torch.where(off, now, inputs["old_per_token_logps"])
        return found

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """None: checkpoints are for resuming, and a card would be written beside them."""

    def _credit(self, items: list[Item]) -> AdvantageBatch:
        """Advantages of the whole batch over all processes: a group may straddle two of them."""
        began = time.perf_counter()
        self.batches += 1
        traces = [x.trace for x in items]
        rollouts: list[Rollout] = gather_object([self._rollout(x) for x in items])
        self.last_rollouts = rollouts
        self.last_written = gather_object([written(t) for t in traces])
        self.last_notes = Counter(note for note in gather_object([x.note for x in items]) if note)
        gathered = time.perf_counter()
        self.last_signals = self._signals(traces, [r.outcome for r in rollouts])
        scored = time.perf_counter()
        self.last_batch = compute(rollouts, self.last_signals, self.credit)
        self.seconds["scoring"] += scored - gathered
        self.seconds["credit"] += time.perf_counter() - scored + gathered - began
        return self.last_batch

    def _rollout(self, item: Item) -> Rollout:
        made = self.source.trained(item.rollout)
        if "answer" in self.credit.needs:
            made = replace(made, answer=rollout_of(item.trace, answers=True).answer)
        return with_nodes([made], [item.trace])[0] if "nodes" in self.credit.needs else made

    def _signals(self, traces: list[Trace], outcomes: Sequence[float | None]) -> Signals | None:
        """Signals of the whole batch. A scorer that learns (`update`) does so from the whole batch, in every
        process alike, before or after it has been asked."""
        if self.scorer is None or not wanted(self.credit):
            return None
        update = getattr(self.scorer, "update", None)
        order = "none" if update is None or not self._training else getattr(self.scorer, "order", "after")
        every = gather_object(traces) if order != "none" else []
        if update is not None and order == "before":
            self.last_update = dict(update(every, outcomes))
        signals = replace(self._ask(traces, self.scorer), step=self.state.global_step)
        if update is not None and order == "after":
            self.last_update = dict(update(every, outcomes))
        return _gathered(signals) if self.accelerator.num_processes > 1 else signals

    def _ask(self, traces: list[Trace], scorer: Scorer) -> Signals:
        """A scorer's own `signals`, where it knows more than step scores, else its judgements.

        What such a call cost is read from the scorer's `spent`, if it has one."""
        own = getattr(scorer, "signals", None)
        if own is not None:
            found: Signals = own(traces)
            self.scored += getattr(scorer, "spent", Usage())
            return found
        judgements = scorer.score(traces)
        for judgement in judgements:
            self.scored += judgement.usage.policy + judgement.usage.scorer
        return signals_of(judgements, scorer.question)


def outcome(prompts: list[Any], outcome: list[float | None], **_: Any) -> list[float | None]:
    """TRL's reward, for TRL's own log; the advantages do not come from it."""
    return outcome


def _padded(rows: Sequence[Any], like: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """`(B, C)` of the first B rows, each `(L_i,)`, filled up on the right."""
    out = torch.full(like.shape, fill, dtype=torch.float32)
    for i, row in zip(range(len(out)), rows):
        out[i, : len(row)] = torch.from_numpy(row)
    return out.to(like.device)


def _gathered(signals: Signals) -> Signals:
    """The signals of all processes; every tuple of `Signals` has one entry a rollout."""

    def all_of(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(gather_object(list(value)))
        return {k: all_of(v) for k, v in sorted(value.items())} if isinstance(value, Mapping) else value

    return replace(signals, **{f.name: all_of(getattr(signals, f.name)) for f in fields(signals)})
