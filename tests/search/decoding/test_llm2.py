"""LLM2: without the verifier it is the base, with it every token is what one-by-one scores would choose.

Run: python -m pytest tests/search/decoding/test_llm2.py
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Policy, Request, Sampling
from preceptor.policy import ScriptedPolicy
from preceptor.policy.engine_sampling import choose, uniforms
from preceptor.reward.objectives.token_pairs import candidate_scores, combine_logits
from preceptor.search import Greedy, Majority, StepBeam, solve
from preceptor.search.decoding.llm2 import Verified, plausible
from preceptor.search.decoding.verifiers import Candidates
from preceptor.trace import Finish
from preceptor.worlds import arithmetic
from tests.search.decoding.models import check_search
from tests.search.toy import Oracle

SHORT = Sampling(max_tokens=8)
GREEDY = Sampling(temperature=0.0, max_tokens=8)
SAMPLINGS = [SHORT, GREEDY, Sampling(temperature=2.0, top_p=0.9, top_k=50, max_tokens=8)]


class Recording(Candidates):
    """Notes what it is asked."""

    def values(self, prefixes, candidates):
        self.__dict__.setdefault("asked", []).extend(zip(map(tuple, prefixes), map(tuple, candidates)))
        return super().values(prefixes, candidates)


def requests(problems, sampling=SHORT, draws=3):
    return [Request(p, draw=d, seed=5, sampling=sampling) for p in problems for d in range(draws)]


def same(a, b):
    return [(x.text, x.token_ids, x.finish) for x in a] == [(x.text, x.token_ids, x.finish) for x in b]


def plain(policy, request, alpha, beta, value):
    """Token by token, one full forward pass each, every candidate valued alone."""
    ids, sampled, forced = list(policy.prefix(request)), [], 0
    sampling = request.sampling
    for t in range(sampling.max_tokens):
        with torch.no_grad():
            z = policy.model(torch.tensor([ids])).logits[0, -1].float()
        p = z.softmax(-1)
        kept = [i for i in range(len(z)) if p[i] >= alpha * p.max()]
        out = torch.full_like(z, -torch.inf)
        forced += len(kept) == 1
        for i in kept:
            out[i] = z[i] + (beta * value(ids, i) if len(kept) > 1 else 0)
        u = uniforms(np.array([request.stream]), np.array([t]))
        token, _ = choose(
            out[None],
            u,
            np.array([sampling.temperature]),
            np.array([sampling.top_p]),
            np.array([sampling.top_k]),
        )
        ids.append(int(token[0]))
        sampled.append(ids[-1])
        if ids[-1] in policy.eos_ids:
            break
    return tuple(sampled), forced


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_without_verifier_and_threshold_it_is_the_base_policy_draw_for_draw(
    tiny, verifier, problems, sampling
):
    free = Verified(tiny, Candidates(verifier), alpha=0.0, beta=0.0)
    asked = requests(problems, sampling)
    base, own = tiny.generate(asked), free.generate(asked)
    assert same(base, own)
    assert [a.logprobs for a in own] == [a.logprobs for a in base]
    assert all(a.usage.scored == 0 for a in own)
    tiny_alpha = Verified(tiny, Candidates(verifier), alpha=1e-30, beta=0.0)
    assert same(base, tiny_alpha.generate(asked))


def test_searches_over_it_are_searches_over_the_base_policy(shipped, verifier):
    class AnyVerifier(Candidates):
        def fits(self, policy):
            pass

    ps = arithmetic(n=2)
    free = Verified(shipped, AnyVerifier(verifier), alpha=0.0, beta=0.0)
    for strategy in (Majority(4), Greedy(), Majority(2, sampling=Sampling(temperature=1.0, top_k=3))):
        a, b = solve(shipped, ps, strategy), solve(free, ps, strategy)
        texts = [[[c.trace.text for c in s.candidates] for s in r.solutions] for r in (a, b)]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_without_verifier_it_is_truncation_sampling_of_the_base(tiny, verifier, problems, sampling):
    cut = Verified(tiny, Candidates(verifier), alpha=0.2, beta=0.0)
    asked = requests(problems[:2], sampling)
    expected = [plain(tiny, r, 0.2, 0.0, lambda ids, i: 0.0)[0] for r in asked]
    assert [a.token_ids for a in cut.generate(asked)] == expected
    if sampling.temperature:
        assert expected != [a.token_ids for a in tiny.generate(asked)]


def test_alpha_one_is_greedy_whatever_the_verifier_says_and_asks_it_nothing(tiny, verifier, problems):
    recording = Recording(verifier)
    sure = Verified(tiny, recording, alpha=1.0, beta=1000.0)
    greedy = tiny.generate(requests(problems, GREEDY))
    for sampling in SAMPLINGS:
        answers = sure.generate(requests(problems, sampling))
        assert same(answers, greedy)
    assert "asked" not in recording.__dict__


@pytest.mark.parametrize("sampling", SAMPLINGS[:2])
def test_every_token_is_the_choice_of_one_by_one_scores_and_forced_tokens_ask_nothing(
    tiny, verifier, problems, sampling
):
    recording = Recording(verifier)
    policy = Verified(tiny, recording, alpha=0.7, beta=2.0)
    asked = requests(problems[:2], sampling, draws=2)
    answers = policy.generate(asked)

    def value(ids, i):
        return candidate_scores(verifier, ids, [i])[0]

    found = [plain(tiny, r, 0.7, 2.0, value) for r in asked]
    assert [a.token_ids for a in answers] == [ids for ids, _ in found]
    free = sum(len(ids) - forced for ids, forced in found)
    assert sum(forced for _, forced in found) > 3 < free
    assert len(recording.asked) == free == sum(a.extra["verified"] for a in answers)
    assert all(len(candidates) > 1 for _, candidates in recording.asked)
    base = tiny.generate(asked)
    assert not same(answers, base)


def test_candidates_in_one_pass_have_the_values_of_one_by_one(tiny, verifier, problems):
    prefixes = [tiny.prefix(Request(p, "12*7=")) for p in problems]
    candidates = [list(range(40 + k, 60)) for k in range(len(problems))]
    together, usages = Candidates(verifier).values(prefixes, candidates)
    for prefix, own, found, usage in zip(prefixes, candidates, together, usages):
        alone = [candidate_scores(verifier, prefix, [c])[0] for c in own]
        assert found == pytest.approx(alone, abs=1e-5)
        assert max(alone) - min(alone) > 0.1
        assert usage.scored <= len(prefix) + len(own)
    assert len({round(v, 4) for v in together[0]}) > 15, "candidates do not see each other"


def test_the_prefix_is_what_the_verifier_was_trained_behind(tiny, verifier, problems):
    from tests.reward.toy import trace_of

    trace = trace_of(problems[0], ["12*7=84\n"])
    (row,) = verifier.render(trace).rows
    read = tiny.prefix(Request(problems[0], "12*7=84"))
    assert row.token_ids == read


def test_the_rule_is_that_of_the_trained_objective(problems):
    z = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)) * 3
    g = torch.randn(5, 30, generator=torch.Generator().manual_seed(1))
    for alpha in (0.0, 0.1, 0.7, 1.0):
        kept = plausible(z, alpha)
        mine = torch.where(kept, z + 0.25 * g, -torch.inf)
        torch.testing.assert_close(mine, combine_logits(z, g, alpha, 0.25))
    assert plausible(z, 0.0, top_k=4).sum(-1).tolist() == [4] * 5
    assert (plausible(z, 0.0, top_k=1).float().argmax(-1) == z.argmax(-1)).all()


def test_the_verifier_reads_each_text_and_its_candidates_once(tiny, verifier, problems):
    recording = Recording(verifier)
    (answer,) = Verified(tiny, recording, alpha=0.5, beta=1.0).generate(
        [Request(problems[0], sampling=SHORT)]
    )
    rows = {(*before, c) for before, own in recording.asked for c in own}
    distinct = {row[:k] for row in rows for k in range(1, len(row) + 1)}
    assert answer.usage.scored == len(distinct)
    assert answer.usage.generated == len(answer.token_ids)
    assert answer.usage.calls == 1
    result = solve(Verified(tiny, recording, 0.5, 1.0), problems[:2], Majority(1, sampling=SHORT))
    assert result.ledger.policy.scored > 0 == result.ledger.scorer.scored
    more = answer.usage.flops - 2.0 * tiny._parameters * (answer.usage.generated + answer.usage.prefilled)
    assert more == pytest.approx(2.0 * verifier.model.dense_parameters() * answer.usage.scored)


def test_draws_do_not_depend_on_the_batch_and_budgets_hold(tiny, verifier, problems):
    policy = Verified(tiny, Candidates(verifier), alpha=0.6, beta=1.0)
    asked = requests(problems)
    together = policy.generate(asked)
    assert same(together, [policy.generate([r])[0] for r in asked])
    assert same(together, policy.generate(asked[::-1])[::-1])
    check_search(lambda: policy, problems, Majority(2, sampling=SHORT), budgets=(0, 7, 30))


def test_stops_limits_and_bad_items_are_the_policys_own(tiny, verifier, problems):
    policy = Verified(tiny, Candidates(verifier), alpha=0.1, beta=0.5)
    assert isinstance(policy, Policy)
    stop = [
        Request(p, draw=d, sampling=Sampling(max_tokens=40, stop=("e", "1")))
        for p in problems
        for d in (0, 1)
    ]
    free = Verified(tiny, Candidates(verifier), alpha=0.0, beta=0.0)
    assert same(free.generate(stop), tiny.generate(stop))
    assert Finish.BOUNDARY in {a.finish for a in tiny.generate(stop)}
    bad, good = policy.generate(
        [Request(problems[0], prefix_ids=(5,) * 600, prefix="x" * 600), Request(problems[1], sampling=SHORT)]
    )
    assert bad.error.kind == "too-long"
    assert good.error is None
    prints = {
        Verified(tiny, Candidates(verifier), *s).fingerprint for s in ((), (0.2,), (0.1, 0.5), (0.1, 0.25, 5))
    }
    assert len(prints | {tiny.fingerprint}) == 5


def test_what_does_not_fit_is_refused_by_name(tiny, shipped, verifier, problems):
    with pytest.raises(InputError, match="same vocabulary"):
        Verified(shipped, Candidates(verifier))
    with pytest.raises(InputError, match="ScriptedPolicy"):
        Verified(ScriptedPolicy(), Candidates(verifier))
    for settings in ({"alpha": -0.1}, {"alpha": 1.5}, {"top_k": -1}):
        with pytest.raises(InputError, match="expected"):
            Verified(tiny, Candidates(verifier), **settings)


def test_a_verifier_that_computes_no_number_fails_its_item_and_no_other(tiny, verifier, problems):
    class Broken(Candidates):
        def values(self, prefixes, candidates):
            found, usage = super().values(prefixes, candidates)
            bad = tiny.prefix(Request(problems[0]))
            return [
                [float("nan")] * len(v) if tuple(p[: len(bad)]) == bad else v for p, v in zip(prefixes, found)
            ], usage

    policy = Verified(tiny, Broken(verifier), alpha=0.1, beta=1.0)
    bad, good = policy.generate([Request(p, sampling=SHORT) for p in problems[:2]])
    assert bad.error.kind == "not-finite"
    assert good.text


def test_step_searches_run_on_it(tiny, verifier, problems):
    policy = Verified(tiny, Candidates(verifier), 0.6, 1.0)
    result = solve(policy, problems[:2], StepBeam(2, 2, max_steps=2, sampling=SHORT), Oracle(constant=0.5))
    assert result.policy == policy.fingerprint
    assert {s.tree.policy for s in result.solutions} == {policy.fingerprint}
    assert all(n.data["policy"]["verified"] >= 0 for s in result.solutions for n in s.tree.nodes[1:])
