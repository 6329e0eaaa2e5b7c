"""Specifies reward models that learn along: the implicit one (PRIME, OPRL) and Cooper's.

Run with `python -m pytest tests/learn/test_online.py`.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from preceptor.credit import METHODS
from preceptor.errors import InputError
from preceptor.generation import Continuation, Sampling
from preceptor.learn import learn
from preceptor.learn.cooper import CooperReward, rewriter
from preceptor.learn.online import OnlineImplicitPRM
from preceptor.learn.rollouts import RolloutSource
from preceptor.policy import TransformersPolicy
from preceptor.policy.render import prompt_ids
from preceptor.trace import Finish, Problem, Trace, Verdict
from tests.learn.toys import problems, trainer

SMALL = {"steps": 4, "prompts_per_step": 3, "generations": 4, "max_tokens": 12, "lr": 1e-2}


@pytest.fixture
def policy(tiny_policy_dir) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir)


def prm(policy: TransformersPolicy, **options) -> OnlineImplicitPRM:
    return OnlineImplicitPRM(policy.model, policy.tokenizer, **options)


def sampled(policy: TransformersPolicy, prompts: int = 4, group: int = 6) -> list[Trace]:
    source = RolloutSource(policy, Sampling(max_tokens=16), 0)
    asked = [p for p in problems(prompts) for _ in range(group)]
    return source.traces(asked, list(range(group)) * prompts, "train", 0)


def outcomes(traces: list[Trace]) -> list[float | None]:
    """Even draws right, odd ones wrong, one undecided."""
    return [None if i == 3 else float(t.draw % 2 == 0) for i, t in enumerate(traces)]


def moved(made: OnlineImplicitPRM) -> OnlineImplicitPRM:
    with torch.no_grad():
        for p in made.model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.05)
    return made


def plain_scores(made: OnlineImplicitPRM, policy: TransformersPolicy, trace: Trace) -> torch.Tensor:
    """One row at a time, log-softmax of both models by hand."""
    ids = torch.tensor([[*prompt_ids(policy.tokenizer, trace.problem), *trace.token_ids]])
    size = len(trace.token_ids)
    out = []
    for model in (made.model, made.reference):
        logits = model(ids).logits[0, -size - 1 : -1].float()
        out.append(logits.log_softmax(-1)[torch.arange(size), ids[0, -size:]])
    return out[0] - out[1]


def test_a_fresh_model_scores_zero_and_the_method_is_the_outcome_alone(tiny_policy_dir, policy) -> None:
    """`prime` whitens, so its advantages are those of leave-one-out up to one scale and shift."""
    traces = sampled(policy)
    assert all(not x.any() for x in prm(policy).token_scores(traces))
    made, inputs = trainer(tiny_policy_dir, "oprl", prm(policy))
    made.credit = METHODS["oprl"]
    rloo, _ = trainer(tiny_policy_dir, "rloo")
    for name in ("", "again"):
        found = made._generate_and_score_completions([dict(x) for x in inputs])["advantages"]
        expected = rloo._generate_and_score_completions([dict(x) for x in inputs])["advantages"]
        if not name:
            torch.testing.assert_close(found, expected)


def test_token_scores_are_log_ratios_and_step_scores_their_sums(policy) -> None:
    made, traces = moved(prm(policy, micro_batch=5)), sampled(policy)
    signals = made.signals(traces)
    for trace, tokens, steps in zip(traces, signals.tokens, signals.scores, strict=True):
        expected = plain_scores(made, policy, trace)
        torch.testing.assert_close(torch.tensor(tokens), expected, atol=1e-4, rtol=1e-3)
        assert len(steps) == len(trace.steps)
        assert sum(steps) == pytest.approx(sum(tokens), abs=1e-3)
    assert made.spent.scored > 2 * sum(len(t.token_ids) for t in traces)


@pytest.mark.parametrize("loss", ["bce", "pairwise"])
def test_the_gradient_is_that_of_the_loss_written_out(policy, loss) -> None:
    made, traces = (
        moved(prm(policy, loss=loss, lr=1.0, beta=0.3, max_grad_norm=1e9, micro_batch=5)),
        sampled(policy),
    )
    labels = outcomes(traces)
    twin = copy.deepcopy(made)
    kept = [(t, y) for t, y in zip(traces, labels, strict=True) if y is not None]
    totals = torch.stack([plain_scores(twin, policy, t).sum() for t, _ in kept])
    if loss == "bce":
        p = torch.sigmoid(0.3 * totals)
        y = torch.tensor([y for _, y in kept])
        expected = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    else:
        worth = 0.3 * totals / torch.tensor([float(len(t.steps)) for t, _ in kept])
        terms = [
            F.softplus(worth[j] - worth[i])
            for i, (a, right) in enumerate(kept)
            for j, (b, other) in enumerate(kept)
            if a.problem == b.problem and right == 1.0 and other == 0.0
        ]
        assert len(terms) == 4 * 9 - 3, "three right and three wrong a problem, one of them undecided"
        expected = torch.stack(terms).mean()
    expected.backward()
    steps = []
    made.optimizer.step = lambda: steps.append([p.grad.clone() for p in made.model.parameters()])
    figures = made.update(traces, labels)
    assert figures["loss"] == pytest.approx(expected.item(), rel=1e-4)
    assert figures["learned_from"] == len(traces) - 1
    for found, p in zip(steps[0], twin.model.parameters(), strict=True):
        torch.testing.assert_close(found, p.grad, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("loss", ["bce", "pairwise"])
def test_it_learns_which_completions_are_right_and_which_tokens_make_them_so(policy, loss) -> None:
    """Right is a text with a 7: after training, fresh ones are told apart, by the token that decides."""
    made = prm(policy, loss=loss, lr=1e-2, beta=0.3)
    source = RolloutSource(policy, Sampling(max_tokens=10), 0)
    asked = [p for p in problems(6) for _ in range(16)]
    draws = list(range(16)) * 6
    for at in range(20):
        traces = source.traces(asked, draws, "train", at)
        made.update(traces, [float(t.grade.correct) for t in traces])
    traces = source.traces(asked, draws, "train", 99)
    totals = [float(x.sum()) for x in made.token_scores(traces)]
    right = [x for x, t in zip(totals, traces, strict=True) if t.grade.correct]
    wrong = [x for x, t in zip(totals, traces, strict=True) if not t.grade.correct]
    assert sum(a > b for a in right for b in wrong) > 0.7 * len(right) * len(wrong) > 0
    sevens, others = [], []
    seven = policy.tokenizer.encode("7")[0]
    for trace, tokens in zip(traces, made.signals(traces).tokens, strict=True):
        for token, x in zip(trace.token_ids, tokens, strict=True):
            (sevens if token == seven else others).append(x)
    assert sum(sevens) / len(sevens) > sum(others) / len(others) + 1.0


def test_prime_learns_from_problems_that_are_neither_solved_nor_hopeless(policy) -> None:
    traces = sampled(policy)
    ids = list(dict.fromkeys(t.problem.id for t in traces))
    right, wrong = {ids[0]}, {ids[1]}
    labels = [float(t.problem.id in right or (t.problem.id not in wrong and t.draw % 2)) for t in traces]
    mixed = [(t, y) for t, y in zip(traces, labels, strict=True) if t.problem.id not in right | wrong]
    some, alone = prm(policy, accuracy=(0.2, 0.8), lr=1e-2), prm(policy, lr=1e-2)
    assert some.update(traces, labels)["learned_from"] == len(mixed)
    alone.update([t for t, _ in mixed], [y for _, y in mixed])
    pairs = zip(some.model.parameters(), alone.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_nothing_to_learn_from_changes_nothing(policy) -> None:
    traces = sampled(policy)
    for loss, labels in [("bce", [None] * len(traces)), ("pairwise", [1.0] * len(traces))]:
        made = prm(policy, loss=loss, lr=1.0)
        before = copy.deepcopy(made.state_dict()["model"])
        assert "loss" not in made.update(traces, labels)
        assert all(torch.equal(before[k], v) for k, v in made.model.state_dict().items())


def advantages(directory: Path, order: str, lr: float) -> torch.Tensor:
    start = TransformersPolicy.load(directory)
    scorer = moved(prm(start, order=order, lr=lr))
    made, inputs = trainer(directory, "oprl", scorer, generations=8)
    return made._generate_and_score_completions([dict(x) for x in inputs])["advantages"]


def test_after_an_update_comes_too_late_for_the_batch_and_before_does_not(tiny_policy_dir) -> None:
    slow, fast = (advantages(tiny_policy_dir, "after", lr) for lr in (1e-6, 1e-2))
    assert torch.equal(slow, fast)
    frozen = advantages(tiny_policy_dir, "none", 1e-2)
    assert torch.equal(frozen, fast)
    assert not torch.equal(advantages(tiny_policy_dir, "before", 1e-2), fast)


def test_a_run_with_a_reward_model_that_learns_is_resumed_with_it(tiny_policy_dir, tmp_path) -> None:
    def run(out: Path, **options):
        scorer = prm(TransformersPolicy.load(tiny_policy_dir), lr=1e-3)
        learn(
            tiny_policy_dir,
            problems(6),
            out=out,
            method="oprl",
            scorer=scorer,
            save_every=2,
            **SMALL,
            **options,
        )
        return scorer

    def stop(step: int, total: int, note: str = "") -> None:
        if step == 3:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", progress=stop)
    again = run(tmp_path / "cut", resume=True)
    assert all(torch.equal(v, again.model.state_dict()[k]) for k, v in whole.model.state_dict().items())
    found = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    ]
    for row in found[0] + found[1]:
        row.pop("seconds", None)
    assert found[0] == found[1]
    assert found[0][-1]["scorer"]["learned_from"] == 12


def test_it_refuses_what_it_does_not_know(policy) -> None:
    with pytest.raises(InputError, match="got 'often', 'bce'"):
        prm(policy, order="often")


# Cooper


def cooper(policy: TransformersPolicy, rewrite, **options) -> CooperReward:
    return CooperReward(copy.deepcopy(policy.model), policy.tokenizer, rewrite, **options)


def sums(n: int) -> list[Trace]:
    """Right solutions of additions, graded by the exact rule."""
    from preceptor.grade import grade
    from preceptor.trace import steps_from_ends

    out = []
    for i in range(n):
        problem = Problem(f"{i}+{i}?", str(2 * i), grader="numeric")
        text = f"{i}+{i}={2 * i}\nAnswer: {2 * i}\n"
        steps = steps_from_ends([text.index("\n") + 1, len(text)])
        out.append(Trace(problem, text, steps, Finish.STOP, grade(problem, text, finish=Finish.STOP)))
    return out


def one_more(traces):
    return [t.text.replace(f"Answer: {t.problem.gold}", f"Answer: {int(t.problem.gold) + 1}") for t in traces]


def test_cooper_learns_pairs_of_a_right_completion_and_its_wrong_twin(policy) -> None:
    made, traces = cooper(policy, one_more, lr=3e-3), sums(12)
    assert all(t.grade.verdict is Verdict.CORRECT for t in traces)
    first = made.update(traces, [1.0] * 12)
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3), "a fresh head scores all alike"
    assert (first["pairs"], first["without_pair"]) == (12, 0)
    for _ in range(30):
        last = made.update(traces, [1.0] * 12)
    assert last["pair_accuracy"] == 1.0
    signals = made.signals(traces)
    assert signals.scalars["reward"] == tuple(row[-1] for row in signals.scores)
    assert all(row[:-1] == (None,) for row in signals.scores)


def test_cooper_learns_nothing_from_a_rewriting_that_refuses(policy) -> None:
    assert cooper(policy, lambda traces: ["I would rather not."] * len(traces)).update(
        sums(3), [1.0] * 3
    ) == {
        "pairs": 0.0,
        "without_pair": 3.0,
    }


def test_cooper_leaves_out_what_is_not_confirmed_wrong(policy) -> None:
    """No right completion, a rewriting that failed, one that is still right, one without an answer."""

    def rewrite(traces):
        kinds = [None, "as before\nAnswer: {gold}\n", "Answer: {wrong}\n"]
        return [
            None if kind is None else kind.format(gold=t.problem.gold, wrong=int(t.problem.gold) + 3)
            for t, kind in zip(traces, kinds, strict=True)
        ]

    made, traces = cooper(policy, rewrite, lr=1e-3), sums(5)
    figures = made.update(traces, [1.0, 1.0, 1.0, 0.0, None])
    assert (figures["pairs"], figures["without_pair"]) == (1, 4)
    assert set(made.update(traces, [0.0] * 5)) == {"pairs", "without_pair"}


def test_one_pair_a_problem_however_many_are_right(policy) -> None:
    asked = []

    def rewrite(traces):
        asked.extend(traces)
        return one_more(traces)

    twice = [*sums(3), *sums(3)]
    assert cooper(policy, rewrite).update(twice, [1.0] * 6)["pairs"] == 3
    assert len(asked) == 3


def test_the_assistant_is_asked_with_problem_and_solution() -> None:
    class Chat:
        fingerprint = "chat"

        def generate(self, requests):
            self.asked = requests
            return [Continuation("wrong", Finish.STOP), Continuation.failed("timeout", "too late")]

    chat = Chat()
    assert rewriter(chat)(sums(2)) == ["wrong", None]
    said = chat.asked[1].messages[0].content
    assert "1+1?" in said
    assert "Answer: 2" in said


def test_cooper_runs_in_the_loop(tiny_policy_dir, tmp_path, policy) -> None:
    scorer = cooper(policy, lambda traces: ["no"] * len(traces), lr=1e-3)
    from preceptor.credit import Center, CreditConfig, Scalar, Stream

    method = CreditConfig((Stream(Scalar("reward"), Center("prompt", "mean", "std")),))
    result = learn(tiny_policy_dir, problems(4), out=tmp_path, method=method, scorer=scorer, **SMALL)
    assert result.usage.scorer.scored > 0
