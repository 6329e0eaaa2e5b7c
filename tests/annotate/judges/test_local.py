"""Judges over real local models: the shipped one knows nothing of judging, and says so in the counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from preceptor.annotate.judges import Asking, Critique, SelfPRM, StepJudge
from preceptor.generation import Sampling
from preceptor.policy import TransformersPolicy
from preceptor.usage import Usage
from tests.annotate.judges.oracle import scripted_traces


@pytest.fixture(scope="module")
def policy(tiny_policy_dir: Path) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir, device="cpu")


PLAIN = Asking(chat=False, lead="Verdict:", sampling=Sampling(max_tokens=4))
TEMPLATE = "{problem}\n{previous}\n{step}\nRight?"


def test_a_model_that_cannot_judge_gives_no_score_and_every_call_is_paid_for(policy: TransformersPolicy):
    """Random weights write noise: no verdict may come of it, and nothing may be taken for "wrong"."""
    traces = scripted_traces(n=1, samples=2)
    for judge in (
        StepJudge(policy, votes=2, template=TEMPLATE, asking=PLAIN),
        Critique(policy, votes=2, template="{problem}\n{solution}", asking=PLAIN),
        SelfPRM(policy, votes=2, weigh=False, template="{problem}\n{solution}", asking=PLAIN),
    ):
        for trace, judged in zip(traces, judge.score(traces)):
            votes = 2 * (len(trace.steps) if isinstance(judge, StepJudge) else 1)
            assert judged.undecided == votes
            assert (judged.scores, judged.first_error) == (None, None)
            assert judged.error.kind in ("unread-verdict", "unread-critique", "cut-critique")
        spent = sum((j.usage.scorer for j in judge.score(traces)), Usage())
        assert spent.generated == 4 * spent.calls > 0
        assert spent.prefilled > 0


def test_a_local_model_weighs_its_own_judgements(tiny_policy_dir: Path):
    """Noise up to the verdict, then a probability: forced verdicts need no readable judgement."""
    policy = TransformersPolicy.load(tiny_policy_dir, device="cpu")
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}"
    traces = scripted_traces(n=1, samples=2)
    judge = SelfPRM(policy, votes=3, template="{problem}\n{solution}", asking=Asking(sampling=PLAIN.sampling))
    for trace, judged in zip(traces, judge.score(traces)):
        requests = [judge.asking.request(trace.problem, judge.prompt(trace)[0], k) for k in range(3)]
        written = [c.text.rstrip() + "\nVerdict: " for c in policy.generate(requests)]
        ends = [replace(r, prefix=w) for r, w in zip(requests, written)]
        weighed = [c.probs[0] for c in policy.choose(ends, ("Yes", "No"))]
        assert judged.scores[-1] == pytest.approx(sum(weighed) / 3, abs=1e-5)
        assert len(set(weighed)) == 3
        assert (judged.undecided, judged.error) == (3, None)
        assert "unweighed" not in judged.flags
        assert judged.usage.scorer.generated == 12
        assert judged.usage.scorer.scored > 0
