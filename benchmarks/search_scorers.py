"""The scorers of benchmarks/search.py, trained on first use and kept under runs/search.

oracle      exact value of every step
noisy       the oracle, each verdict turned round with probability 0.2, always the same way for the same prefix
trained     arithmetic: how likely `world:arithmetic-solver` finds a step's least likely token, as a probability that
            the step is right (Platt, fitted on oracle labels of 200 problems of the train split);
            game24: a reward model of two more layers on the policy, hard labels of the value oracle on all hands
            of the train split
weak        a reward model on the policy itself, hard labels of the oracle, 320 problems of the train split
confidence  the policy's own confidence in its least likely token
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from preceptor.annotate import Labels, StepConfidence, WorldOracle
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Scorer, Source, first_below
from preceptor.policy import load_policy, sample
from preceptor.reward import PRM, train
from preceptor.reward.combine import Calibrated
from preceptor.reward.likelihood import Uncertainty
from preceptor.trace import Trace, stream_seed
from preceptor.worlds import WORLDS

KEPT = Path(__file__).parents[1] / "runs" / "search"


@dataclass(frozen=True)
class Noisy:
    """A scorer of ones and zeros, some of them turned round."""

    oracle: Scorer
    rate: float = 0.2

    @property
    def question(self) -> Question:
        return self.oracle.question

    @property
    def source(self) -> Source:
        return Source.of("noisy-oracle", rate=self.rate)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._turned(t, j) for t, j in zip(traces, self.oracle.score(traces), strict=True)]

    def _turned(self, trace: Trace, judged: Judgement) -> Judgement:
        if judged.scores is None:
            return judged
        scores = tuple(
            None if s is None else 1 - s if self._turns(trace.prefix(t + 1), trace) else s
            for t, s in enumerate(judged.scores)
        )
        return replace(judged, source=self.source, scores=scores, first_error=first_below(scores, 0.5))

    def _turns(self, prefix: str, trace: Trace) -> bool:
        return random.Random(stream_seed("noisy", trace.problem.id, prefix)).random() < self.rate


def labelled(world: str, question: Question, problems: int, samples: int, temperature: float) -> Labels:
    """Distinct samples of the world's policy on problems of the train split, with the oracle's labels."""
    asked = WORLDS[world].problems("train", problems, 0)
    drawn = sample(load_policy(f"world:{world}"), asked, samples, sampling=Sampling(temperature))
    traces = tuple({(t.problem.id, t.text): t for t in drawn if t.steps}.values())
    return Labels(traces, tuple(WorldOracle(question).score(traces)), len(traces), 0, 0)


def deepened(policy: Any, layers: int, out: Path) -> Path:
    """The policy's model with more layers on top, which begin close to the identity."""
    config = copy.deepcopy(policy.model.config)
    begin = config.num_hidden_layers
    config.num_hidden_layers += layers
    if getattr(config, "layer_types", None):
        config.layer_types = [*config.layer_types, *config.layer_types[-1:] * layers]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(policy.model.state_dict(), strict=False)
    with torch.no_grad():
        for layer in model.model.layers[begin:]:
            layer.self_attn.o_proj.weight.mul_(0.1)
            layer.mlp.down_proj.weight.mul_(0.1)
    model.save_pretrained(out)
    policy.tokenizer.save_pretrained(out)
    return out


def trained(world: str) -> Scorer:
    if world == "arithmetic":
        labels = labelled(world, Question.VALIDITY, 200, 4, 1.0)
        likely = Uncertainty(load_policy("world:arithmetic-solver"), "min_logprob")
        targets = [j.scores for j in labels.judgements]
        return Calibrated.fit(likely, labels.traces, targets, "platt-raw", Question.VALIDITY)
    home = KEPT / f"prm-{world}"
    if not (home / "config.json").exists():
        backbone = deepened(load_policy(f"world:{world}"), 2, KEPT / f"deeper-{world}")
        labels = labelled(world, Question.VALUE, 820, 8, 1.0)
        return _reward_model(labels, backbone, home, 4)
    return PRM.load(home)


def weak(world: str) -> Scorer:
    home = KEPT / f"prm-weak-{world}"
    if not (home / "config.json").exists():
        question = Question.VALUE if world == "game24" else Question.VALIDITY
        return _reward_model(labelled(world, question, 320, 8, 1.0), load_policy(f"world:{world}"), home, 3)
    return PRM.load(home)


def _reward_model(labels: Labels, backbone: Any, home: Path, epochs: int) -> PRM:
    return train(
        labels,
        backbone=backbone,
        out=home,
        objective="hard-ce",
        epochs=epochs,
        held_out=0.02,
        lr=1e-3,
        batch_rows=32,
        seed=0,
    )


SCORERS: dict[str, Callable[[str], Scorer]] = {
    "oracle": lambda world: WorldOracle(Question.VALUE),
    "noisy": lambda world: Noisy(WorldOracle(Question.VALUE)),
    "trained": trained,
    "weak": weak,
    "confidence": lambda world: StepConfidence(),
}
