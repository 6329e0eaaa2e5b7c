"""Language models as reward models: they learn, they serve what was trained, and only the right tokens are taught.

Toy sums: a step is good when its last digit is even, a solution is right when all its steps are good.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from preceptor.errors import CheckFailed, InputError, ModelError
from preceptor.generation import Request
from preceptor.grade import Sandbox
from preceptor.judgement import Question
from preceptor.policy import TransformersPolicy
from preceptor.policy.likelihood import first_tokens
from preceptor.policy.render import chat_ids, prompt_ids, text_ids
from preceptor.reward import load_scorer, train
from preceptor.reward.examples import Dropped, Example, Labelled
from preceptor.reward.generative import (
    RPRM,
    STYLES,
    GenerativePRM,
    GenORM,
    GenPRM,
    MultiGenPRM,
    ThinkPRM,
    style_from_record,
)
from preceptor.reward.generative.talk import loose, tight
from preceptor.reward.language_model import LanguageModel, build_language, logprobs
from preceptor.reward.language_rows import balanced, response_row, taught_example, verdict_rows
from preceptor.reward.language_teaching import agrees, consistent
from preceptor.reward.losses import dpo, implicit_ce
from preceptor.reward.metrics import auroc
from preceptor.reward.objectives.language import LANGUAGE_OBJECTIVES, GenerativeDPO, GenerativeSFT, Implicit
from preceptor.trace import Finish, Grade, Problem, Step, Trace, Verdict
from tests.policy.test_render import HOSTILE, chatml
from tests.reward.generative.verifiers import Verifier
from tests.reward.toy import ToyLabels, backbone, good, judged, toy_labels, trace_of

FAST = {"lr": 3e-3, "batch_rows": 16, "held_out": 0.2}
SHORT = RPRM("{question} {previous} {step}", think=False)


def labels(n: int, seed: int = 0) -> ToyLabels:
    plain = toy_labels(n, seed=seed)
    traces = []
    for trace in plain.traces:
        right = all(map(good, trace.step_texts))
        traces.append(trace.graded(Grade(Verdict.CORRECT if right else Verdict.INCORRECT, "toy")))
    return ToyLabels(traces, plain.judgements)


def report(directory) -> dict:
    return json.loads((directory / "training.json").read_text())


def step_auroc(scorer, data: ToyLabels) -> float:
    pairs = [
        (s, good(x))
        for t, j in zip(data.traces, scorer.score(data.traces))
        for s, x in zip(j.scores, t.step_texts)
    ]
    return auroc(np.array([s for s, _ in pairs]), np.array([y for _, y in pairs]))


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return backbone(tmp_path_factory.mktemp("lm"), hidden=64)


@pytest.fixture(scope="module")
def implicit(lm, tmp_path_factory):
    out = tmp_path_factory.mktemp("implicit")
    return train(labels(50), backbone=lm, out=out, objective="implicit-ce", epochs=5, **FAST), out


@pytest.fixture(scope="module")
def taught(lm, tmp_path_factory):
    """A verifier that has just begun to learn."""
    out = tmp_path_factory.mktemp("taught")
    return train(labels(50), backbone=lm, out=out, objective=GenerativeSFT(SHORT), epochs=2, **FAST), out


# ---- implicit rewards


def test_outcomes_alone_teach_a_value_that_holds_on_new_problems(implicit):
    scorer, out = implicit
    fresh = labels(30, seed=9)
    last = np.array([j.scores[-1] for j in scorer.score(fresh.traces)])
    right = np.array([t.grade.correct for t in fresh.traces])
    assert auroc(last, right) > 0.8
    assert report(out)["held_out"]["auroc"] > 0.75
    assert scorer.question is Question.VALUE


def test_step_rewards_add_up_to_the_reward_that_was_trained(implicit, lm):
    """Served through two policies and offsets, against beta times the plain log-ratio of two models."""
    _, out = implicit
    assert report(out)["parity"]["max_difference"] < 1e-5
    by_step = load_scorer(out, form="single", sigmoid=False)
    by_prefix = load_scorer(out, sigmoid=False)
    model, reference = (AutoModelForCausalLM.from_pretrained(d) for d in (out, lm))
    tokenizer = by_step.model.tokenizer
    for trace in labels(3, seed=4).traces:
        (single,), (sums,) = by_step.score([trace]), by_prefix.score([trace])
        assert sum(single.scores) == pytest.approx(sums.scores[-1], abs=1e-9)
        row = response_row(tokenizer, trace)
        ids = torch.tensor([row.token_ids])
        with torch.inference_mode():
            found = [m(ids).logits[0].log_softmax(-1) for m in (model, reference)]
        at = list(row.positions)
        ratio = sum((found[0] - found[1])[p, ids[0, p + 1]].item() for p in at)
        assert sum(single.scores) == pytest.approx(0.05 * ratio, abs=1e-5)


def test_at_the_reference_every_reward_is_zero_and_pairs_cost_log_two(lm):
    model, tokenizer = build_language(lm)
    rows = [response_row(tokenizer, t) for t in labels(4).traces]
    known = logprobs(model, rows)
    again = logprobs(model, rows, max_tokens=64)  # other batches
    assert max(abs(a - b) for x, y in zip(known, again) for a, b in zip(x, y)) < 1e-5
    out = torch.tensor([known[0][:2], known[1][:2]]).unsqueeze(-1)
    mask = torch.ones_like(out, dtype=torch.bool)
    assert dpo(out, out, mask).item() == pytest.approx(math.log(2))
    assert implicit_ce(out, out, mask, outcome=torch.tensor([1.0, 0.0])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ["implicit-dpo", "implicit-kto", "implicit-nca"])
def test_pairs_teach_the_same_value(name, lm, tmp_path):
    scorer = train(labels(60), backbone=lm, out=tmp_path, objective=name, epochs=5, **FAST)
    found = report(tmp_path)
    assert found["parity"]["max_difference"] < 1e-5
    assert found["rows"] % 2 == 0
    assert found["dropped"]["unpaired"] > 0
    fresh = labels(30, seed=9)
    last = np.array([j.scores[-1] for j in scorer.score(fresh.traces)])
    assert auroc(last, np.array([t.grade.correct for t in fresh.traces])) > 0.75


def test_the_directory_is_an_ordinary_language_model_and_says_how_it_scores(implicit, lm):
    scorer, out = implicit
    record = json.loads((out / "config.json").read_text())["preceptor"]
    assert (record["kind"], record["beta"], record["reference"]) == ("implicit", 0.05, str(lm.resolve()))
    policy = TransformersPolicy.load(out)
    assert policy.generate([Request(Problem("Sums 1?"))])[0].error is None
    assert load_scorer(out).source == scorer.source
    keys = {
        "objective",
        "config",
        "question",
        "rows",
        "problems",
        "held_out",
        "parity",
        "loss",
        "source",
        "seed",
    }
    assert keys <= set(report(out))


def test_a_live_backbone_is_kept_beside_the_model_and_not_changed(lm, tmp_path):
    live = TransformersPolicy.load(lm, device="cpu")
    before = live.fingerprint
    quick = {**FAST, "max_steps": 2}
    train(labels(10), backbone=live, out=tmp_path / "a", objective="implicit-ce", **quick)
    assert live.fingerprint == before
    assert json.loads((tmp_path / "a" / "config.json").read_text())["preceptor"]["reference"] == "reference"
    shutil.move(tmp_path / "a", tmp_path / "moved")
    scorer = load_scorer(tmp_path / "moved")
    assert scorer.reference.fingerprint == before
    assert scorer.score(labels(1).traces)[0].error is None


def test_another_reference_is_recorded_and_used(lm, tmp_path):
    other = backbone(tmp_path / "other", hidden=64, seed=3)
    aim = Implicit("ce", reference=str(other))
    train(labels(10), backbone=lm, out=tmp_path / "o", objective=aim, **FAST, max_steps=1)
    scorer = load_scorer(tmp_path / "o")
    assert scorer.reference.fingerprint == TransformersPolicy.load(other).fingerprint
    assert report(tmp_path / "o")["parity"]["max_difference"] < 1e-4


def test_undecided_outcomes_are_left_out_and_judgements_are_not_needed(lm, tmp_path):
    data = labels(10)
    open_end = [t.graded(Grade(Verdict.UNDECIDED, "timeout")) for t in data.traces[:6]]
    mixed = ToyLabels([*open_end, *data.traces[6:]], [])
    train(mixed, backbone=lm, out=tmp_path, objective="implicit-ce", **FAST, max_steps=1)
    assert report(tmp_path)["dropped"] == {"no-outcome": 6}
    with pytest.raises(InputError, match="no usable row"):
        train(ToyLabels(open_end, []), backbone=lm, out=tmp_path / "n", objective="implicit-ce", **FAST)


def test_what_an_environment_answered_carries_no_reward(lm):
    _, tokenizer = build_language(lm)
    text = "1+1=2\n3+3=6\n"
    seen = Trace(Problem("p"), text, (Step(0, 6, observation="[saw 99]"), Step(6, 12)), Finish.STOP)
    row = response_row(tokenizer, seen)
    assert "[saw 99]" in tokenizer.decode(row.token_ids)
    assert tokenizer.decode([row.token_ids[p + 1] for p in row.positions]) == text
    assert [row.steps.count(t) for t in (0, 1)] == [6, 6]


def test_weights_that_were_not_saved_fail_the_run(lm, tmp_path, monkeypatch):
    def forgetful(self, directory):
        AutoModelForCausalLM.from_pretrained(lm).save_pretrained(directory)
        self.whole.config.save_pretrained(directory)

    monkeypatch.setattr(LanguageModel, "save", forgetful)
    with pytest.raises(CheckFailed, match="parity"):
        train(labels(10), backbone=lm, out=tmp_path, objective="implicit-ce", epochs=2, **FAST)


# ---- generative models


def test_verdicts_are_learned_and_served_in_the_style_they_were_taught(lm, tmp_path):
    scorer = train(labels(50), backbone=lm, out=tmp_path, objective=GenerativeSFT(SHORT), epochs=5, **FAST)
    found = report(tmp_path)
    assert found["held_out"]["auroc"] > 0.7
    assert found["parity"]["max_difference"] < 1e-4
    assert (scorer.style, scorer.question) == (SHORT, Question.VALIDITY)
    assert load_scorer(tmp_path).source == scorer.source
    assert step_auroc(scorer, labels(20, seed=9)) > 0.65


def test_preferences_on_its_own_verdicts_widen_the_margin(taught, tmp_path):
    before, weak = taught
    aim = GenerativeDPO(beta=0.3)
    after = train(labels(50), backbone=weak, out=tmp_path, objective=aim, epochs=2, **{**FAST, "lr": 2e-3})
    assert after.style == before.style
    found = report(tmp_path)
    assert found["loss"][0][1] > 0.5
    assert found["dropped"]["no-contrast"] > 0
    fresh = labels(30, seed=9)

    def right(scorer):
        judged = scorer.score(fresh.traces)
        pairs = [(s, good(x)) for t, j in zip(fresh.traces, judged) for s, x in zip(j.scores, t.step_texts)]
        return sum(s if y else 1 - s for s, y in pairs) / len(pairs)

    assert right(after) > right(before) + 0.02


def test_rationales_are_taught_and_the_verdict_follows_from_the_one_that_was_written(lm, tmp_path):
    data = labels(30)
    reasoned = []
    for trace, judgement in zip(data.traces, data.judgements):
        why = tuple("even" if good(x) else "odd" for x in trace.step_texts)
        reasoned.append(replace(judgement, rationale=why))
    aim = GenerativeSFT(RPRM("{question} {previous} {step}"))
    scorer = train(
        ToyLabels(data.traces, reasoned), backbone=lm, out=tmp_path, objective=aim, epochs=5, **FAST
    )
    assert scorer.style.think
    assert report(tmp_path)["parity"]["max_difference"] < 1e-4
    chains = [c for own in replace(scorer, samples=1).chains(data.traces[:16]) for c in own]
    wrote = {word: [c.probability for c in chains if c.text.startswith(word)] for word in ("even", "odd")}
    assert len(wrote["even"]) + len(wrote["odd"]) > 0.8 * len(chains)
    assert np.mean(wrote["even"]) > 0.8
    assert np.mean(wrote["odd"]) < 0.2


def test_a_rationale_that_denies_its_label_spoils_the_trace():
    trace = trace_of(Problem("p"), ["1+1=2\n", "3+3=7\n"])

    def item(*why):
        return Labelled(trace, (1.0, 0.0), replace(judged(trace, (1.0, 0.0)), rationale=why))

    assert agrees(item("Adds up. Verdict: Yes", "Verdict: No"))
    assert agrees(item("Adds up.", None))
    assert not agrees(item("Adds up. Verdict: No", "Verdict: No"))


def test_a_teachers_chain_is_kept_only_if_every_verdict_equals_the_label():
    trace = trace_of(Problem("p"), ["1+1=2\n", "3+3=7\n"])
    item = Labelled(trace, (1.0, 0.0), judged(trace, (1.0, 0.0)))

    def say(request):
        if request.prefix.endswith("\\boxed"):
            return "{Yes}$\n</output>\n"
        return f"{request.draw}\n</analyze>\n"

    def sure(request):
        first = len(request.messages) == 2
        return (0.9 if first else 0.1) if "step by step: 0" in request.prefix else 0.9

    for style, kept in ((GenPRM(), [0, 1]), (replace(SHORT, think=True), [0, 0])):
        writer = Verifier(say, sure) if style.name == "genprm" else Verifier(lambda r: "so", lambda r: 0.9)
        (chains,) = GenerativePRM(writer, style, samples=2).chains([trace])
        assert [t.step for t in consistent(chains, item, style)] == kept


def test_classes_are_balanced_by_leaving_some_of_the_larger_out():
    row = (Example(response_row(chatml(), toy_labels(1).traces[0]), ()),)
    rows = [(str(k), k % 4 == 0, row) for k in range(40)]
    dropped = Dropped()
    assert len(balanced(rows, 0, dropped)) == 20
    assert dropped.reasons == {"balanced-away": 20}
    assert len(balanced(rows[1:4], 0, Dropped())) == 3


STYLES_BOTH_WAYS = [
    style
    for make in (GenPRM, ThinkPRM, RPRM, GenORM, MultiGenPRM)
    for style in (make(think=True), make(think=False))
]


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("style", STYLES_BOTH_WAYS, ids=lambda s: f"{s.name}-{s.think}")
def test_a_taught_answer_is_token_for_token_what_scoring_reads(style, chat):
    """A verifier writes exactly the taught text; the prefix at which its verdict is weighed must be the row."""
    tokenizer = chatml()
    steps = ["1+1=2\n", f"so {HOSTILE}\n", "3+3=6\n"]
    trace = trace_of(Problem("Add <|im_end|> up."), steps).graded(Grade(Verdict.CORRECT, "toy"))
    why = ["It adds up.", "Words only.", "Right again.\n[Code Output]\n\n```\n6\n```\n"]
    texts = style.taught(trace, [True, True, True], why)
    assert texts

    def say(request):
        whole = next(t for t in texts if t.step == own(request))
        answer = whole.text + whole.options[0] + whole.tail
        assert answer.startswith(request.prefix)
        return answer[len(request.prefix) :]

    def own(request):
        shown = request.problem.prompt if not chat else "\n\n".join(m.content for m in request.messages)
        return next(t.step for t in texts if "\n\n".join(m.content for m in t.messages) == shown)

    verifier = Verifier(say, lambda r: 0.9)
    (found,) = GenerativePRM(verifier, style, samples=1, chat=chat).score([trace])
    assert found.error is None
    asked = {own(r): r for batch in verifier.weighed for r in batch}
    for text in texts:
        request = asked[text.step]
        example = taught_example(tokenizer, trace.problem, text, chat)
        good_row, bad_row = verdict_rows(tokenizer, trace.problem, text, chat)
        n = len(good_row.token_ids)
        assert example.row.token_ids[:n] == good_row.token_ids
        assert good_row.token_ids[:-1] == bad_row.token_ids[:-1]
        prompt = chat_ids(tokenizer, request.messages) if chat else prompt_ids(tokenizer, request.problem)
        before, firsts = first_tokens(tokenizer, *loose(request.prefix, tight(text.text, text.options)[1]))
        assert (*prompt, *text_ids(tokenizer, before), firsts[0]) == good_row.token_ids


def test_forced_text_and_tool_output_carry_no_loss():
    tokenizer = chatml()
    trace = trace_of(Problem("p"), ["1+1=2\n"])
    why = "I check.\n[Code Output]\n\n```\n2\n```\nIt is so."
    (text,) = GenPRM().taught(trace, [True], [why])
    example = taught_example(tokenizer, trace.problem, text, True)
    shown = tokenizer.decode([example.row.token_ids[p + 1] for p in example.row.positions])
    assert shown == "I check.\nIt is so.\n</analyze>\n{Yes}$\n</output>\n<|end|>"


def test_a_step_without_label_or_rationale_is_not_taught():
    trace = trace_of(Problem("p"), ["1+1=2\n", "2+2=4\n", "3+3=7\n"])
    why = ["a", "b", "c"]
    assert [t.step for t in RPRM().taught(trace, [True, None, False], why)] == [0, 2]
    assert [t.step for t in GenPRM().taught(trace, [True, None, False], why)] == [0]
    assert [(t.step, t.good) for t in ThinkPRM().taught(trace, [True, False, None], why)] == [
        (0, True),
        (1, False),
        (2, False),
    ]
    assert GenPRM().taught(trace, [True] * 3, [None] * 3) == []
    assert [t.good for t in MultiGenPRM().taught(trace, [True, True, False], why)] == [False]
    assert GenORM().taught(trace, [True] * 3, why) == [], "no graded outcome, nothing to teach"


def test_records_give_the_same_style_back_and_never_switch_code_on():
    for style in STYLES_BOTH_WAYS:
        assert style_from_record(json.loads(json.dumps(style.to_record()))) == style
    assert style_from_record(GenPRM(code=Sandbox()).to_record()).code is None
    assert set(STYLES) == {s.name for s in STYLES_BOTH_WAYS}
    with pytest.raises(ModelError, match="style"):
        style_from_record({"kind": "oracle"})


def test_preferences_need_a_style_and_every_objective_has_a_name(lm, tmp_path):
    with pytest.raises(InputError, match="generative-sft"):
        train(labels(4), backbone=lm, out=tmp_path, objective="generative-dpo", **FAST)
    with pytest.raises(InputError, match="implicit-ce"):
        train(labels(4), backbone=lm, out=tmp_path, objective="nothing", **FAST)
    assert sorted(LANGUAGE_OBJECTIVES) == [
        "generative-dpo",
        "generative-sft",
        "implicit-ce",
        "implicit-dpo",
        "implicit-kto",
        "implicit-nca",
    ]
