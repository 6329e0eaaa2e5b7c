"""Probe and uncertainty head: they learn what a frozen model knows, and nothing from shuffled labels."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from preceptor.annotate import WorldOracle
from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.errors import InputError, ModelError
from preceptor.judgement import Question, Scorer
from preceptor.policy.load import load_policy
from preceptor.policy.sample import sample
from preceptor.reward.probes import Probe, UncertaintyHead
from preceptor.reward.probes.labelled import labelled
from preceptor.reward.probes.states import token_features, tokens_of
from preceptor.reward.probes.uncertainty_head import HeadNet, HeadSettings
from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds import WORLDS

HEAD = {"width": 16, "heads": 2, "layers": 1, "epochs": 3, "batch": 4, "lr": 8e-3, "held_out": 0.0}


@pytest.fixture(scope="module")
def policy():
    return load_policy("world:arithmetic")


@pytest.fixture(scope="module")
def pairs(policy):
    traces = sample(policy, WORLDS["arithmetic"].problems("dev", 80), 2, seed=3)
    return list(zip(traces, WorldOracle().score(traces), strict=True))


@pytest.fixture(scope="module")
def fresh(policy):
    """Traces of other problems, with the truth."""
    traces = sample(policy, WORLDS["arithmetic"].problems("test", 100), 1, seed=4)
    return traces, WorldOracle().score(traces)


@pytest.fixture(scope="module")
def probe(policy, pairs):
    return Probe.fit(policy, pairs, layer=-1)


@pytest.fixture(scope="module")
def head(policy, pairs):
    return UncertaintyHead.fit(policy, pairs, **HEAD)


def auroc_on(scorer, fresh):
    traces, truth = fresh
    rows = [
        (t.problem.id, s, y > 0.5)
        for t, a, b in zip(traces, scorer.score(traces), truth, strict=True)
        for s, y in zip(a.scores or (), b.scores, strict=True)
        if s is not None
    ]
    return bootstrap_auroc(*zip(*rows, strict=True))


def shuffled(pairs):
    """The same labels, dealt to other steps."""
    scores = [s for _, j in pairs for s in j.scores]
    random.Random(0).shuffle(scores)
    deal = iter(scores)
    return [(t, replace(j, scores=tuple(next(deal) for _ in j.scores), first_error=None)) for t, j in pairs]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_probe_finds_wrong_steps_of_new_problems(policy, pairs, fresh, kind):
    probe = Probe.fit(policy, pairs, kind=kind)
    assert isinstance(probe, Scorer)
    assert probe.question is Question.VALIDITY
    found = auroc_on(probe, fresh)
    assert found.low > 0.55, found
    assert probe.report["auroc"] > 0.55


def test_the_embedding_of_a_line_end_knows_nothing(policy, pairs, fresh):
    """Every step ends in the same token: a probe that reads one position off would tell steps apart."""
    assert auroc_on(Probe.fit(policy, pairs, layer=0), fresh).value == pytest.approx(0.5, abs=0.01)


def test_an_uncertainty_head_finds_wrong_steps_of_new_problems(head, fresh):
    assert isinstance(head, Scorer)
    found = auroc_on(head, fresh)
    assert found.low > 0.6, found


def test_shuffled_labels_are_not_predicted_on_held_out_problems(policy, pairs):
    """Against the dealt labels: a split by step would leak. (Against the true ones such a head can be far from
    0.5, on either side: all it has is one strong direction with a random sign.)"""
    for report in (
        Probe.fit(policy, shuffled(pairs), held_out=0.5).report,
        UncertaintyHead.fit(policy, shuffled(pairs), **{**HEAD, "epochs": 1, "held_out": 0.5}).report,
    ):
        assert report["auroc"] == pytest.approx(0.5, abs=0.1)
        assert report["balanced_accuracy"] == pytest.approx(0.5, abs=0.1)
        assert report["problems"] > 20


def test_the_split_is_by_problem(policy, pairs):
    data = labelled(policy, pairs, held_out=0.3, seed=0)
    train, test = ({x.problem for x in part} for part in (data.train, data.test))
    assert train
    assert test
    assert not train & test
    other = labelled(policy, pairs[::-1], held_out=0.3, seed=0)
    assert {x.problem for x in other.test} == test, "the order of the traces does not matter"


def test_unknown_steps_are_no_labels(policy, pairs):
    trace, judgement = pairs[0]
    masked = replace(judgement, scores=(None, *judgement.scores[1:]), first_error=None)
    nothing = replace(judgement, scores=(None,) * len(judgement.scores), first_error=None)
    data = labelled(policy, [(trace, masked), *pairs[1:]], held_out=0.0, seed=0)
    assert data.examples[0].labels[0] is None
    assert labelled(policy, [(trace, nothing), *pairs[1:]], held_out=0.0, seed=0).dropped == 1


def test_the_language_model_gets_no_gradient_and_is_not_changed(policy, pairs):
    before = policy.fingerprint
    UncertaintyHead.fit(policy, pairs[:60], **{**HEAD, "epochs": 1})
    Probe.fit(policy, pairs[:60], layer=2)
    assert policy.fingerprint == before
    assert all(p.grad is None for p in policy.model.parameters())


def test_one_feature_pass_serves_all_steps_and_kept_features_equal_recomputation(
    policy, head, fresh, monkeypatch
):
    trace = max(fresh[0], key=lambda t: len(t.steps))
    item = tokens_of(policy, trace)
    kept = token_features(policy, [item])[0]
    forward, passes = policy.model.forward, []
    monkeypatch.setattr(policy.model, "forward", lambda *a, **k: (passes.append(1), forward(*a, **k))[1])
    scores = head.score([trace])[0].scores
    assert len(passes) == 1 < len(trace.steps)
    assert scores == pytest.approx(head.from_features(kept, item), abs=1e-5)
    assert len(set(scores)) == len(scores), "the masks differ, so do the scores"


def test_scores_do_not_depend_on_what_is_written_later_or_scored_beside(head, probe, fresh):
    trace = max(fresh[0], key=lambda t: len(t.steps))
    end = trace.steps[1].end
    short = Trace(trace.problem, trace.text[:end], trace.steps[:2])
    for scorer in (head, probe):
        long, alone = scorer.score([trace, short])[0].scores, scorer.score([short])[0].scores
        assert long[:2] == pytest.approx(alone, abs=1e-4)


def test_training_again_gives_the_same_scores(policy, pairs, fresh):
    one, two = (UncertaintyHead.fit(policy, pairs[:30], **{**HEAD, "epochs": 1}) for _ in range(2))
    assert one.source == two.source
    assert one.score(fresh[0][:3])[0].scores == two.score(fresh[0][:3])[0].scores


@pytest.mark.parametrize("name", ["probe", "head"])
def test_a_saved_one_scores_the_same_and_refuses_other_weights(
    name, request, policy, fresh, tmp_path, tiny_policy_dir
):
    scorer = request.getfixturevalue(name)
    again = type(scorer).load(scorer.save(tmp_path), policy)
    assert again.source == scorer.source
    assert again.report == scorer.report
    for a, b in zip(scorer.score(fresh[0][:5]), again.score(fresh[0][:5]), strict=True):
        assert a.scores == b.scores
    with pytest.raises(InputError, match="trained on policy"):
        type(scorer).load(tmp_path, load_policy(str(tiny_policy_dir)))
    other = Probe if name == "head" else UncertaintyHead
    with pytest.raises(ModelError, match="expected kind"):
        other.load(tmp_path, policy)
    (tmp_path / "probe.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a probe"):
        type(scorer).load(tmp_path, policy)


def test_changed_weights_are_noticed(pairs):
    own = load_policy("world:arithmetic")
    probe = Probe.fit(own, [(replace(t, policy=""), j) for t, j in anonymous(pairs[:60])], layer=1)
    with torch.no_grad():
        own.model.model.norm.weight.add_(1.0)
    with pytest.raises(InputError, match="changed"):
        probe.score([pairs[0][0]])


def anonymous(pairs):
    return [(t, replace(j, trace=replace(t, policy="").id)) for t, j in pairs]


def test_bad_items_and_bad_labels(policy, probe, head, pairs):
    empty, fine = Trace(Problem("q"), "", ()), Trace(Problem("q"), "1+1=2\n", steps_from_ends([6]))
    for scorer in (probe, head):
        bad, good = scorer.score([empty, fine])
        assert bad.scores is None
        assert bad.error.kind == "no-steps"
        assert good.scores[0] is not None
        assert good.usage.scorer.scored > 0
    right = [(t, replace(j, scores=tuple(1.0 for _ in j.scores))) for t, j in pairs[:20]]
    with pytest.raises(InputError, match="1 class"):
        Probe.fit(policy, right)
    mixed = [(t, replace(j, question=Question.VALUE) if i % 2 else j) for i, (t, j) in enumerate(pairs)]
    with pytest.raises(InputError, match="several questions"):
        Probe.fit(policy, mixed)
    with pytest.raises(InputError, match="beside trace"):
        Probe.fit(policy, [(pairs[0][0], pairs[-1][1])])


def test_the_published_head_is_small():
    """Under 10M parameters for this policy's 52 features; a feed-forward width of 4 * 768 would double it."""
    net = HeadNet(features=52, settings=HeadSettings())
    assert sum(p.numel() for p in net.parameters()) < 10_000_000
