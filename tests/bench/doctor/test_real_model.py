"""The doctor on a real, untrained reward model, whole and with its rendering spoiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from preceptor.bench.doctor import Outcome, diagnose, reference_cases
from preceptor.judgement import Judgement
from preceptor.reward import PRM
from preceptor.reward.render import Rendered, Row
from preceptor.worlds import arithmetic
from tests.reward.test_scorer import save_random_prm
from tests.reward.toy import backbone

CASES = reference_cases(arithmetic(n=32))
STRUCTURE = {"answers", "counts", "tag", "injected marks", "truncation", "prefixes", "determinism",
             "batch and padding", "underflow", "saturation"}  # fmt: skip


@pytest.fixture(scope="module")
def prm(tmp_path_factory) -> PRM:
    path = tmp_path_factory.mktemp("prm")
    return PRM.load(save_random_prm(path / "prm", backbone(path / "lm", hidden=64)))


@dataclass
class Spoiled:
    """The model, read through another rendering."""

    prm: PRM
    render: object

    def __post_init__(self):
        self.tokenizer, self.format, self.model = self.prm.tokenizer, self.prm.format, self.prm.model
        self.source, self.question = self.prm.source, self.prm.question

    def score(self, traces):
        out = []
        for trace in traces:
            scores = [s for row in self.render(trace).rows for s in self.prm.score_rows([row])[0]]
            out.append(Judgement(trace.id, self.question, self.source, tuple(scores)))
        return out


def test_an_untrained_model_is_sound_and_blind(prm):
    found = diagnose(prm, CASES)
    assert set(found.of(Outcome.PASS)) >= STRUCTURE
    assert {"right over wrong step", "right over wrong trace"} <= set(found.failed)
    assert "'<|step|>'" in found["tag"].what
    assert "windowed" in found["truncation"].what


def test_half_precision_is_allowed_its_rounding(prm, tmp_path):
    half = PRM.load(save_random_prm(tmp_path / "prm", backbone(tmp_path / "lm", hidden=64)), dtype="bfloat16")
    found = diagnose(half, CASES[:8])
    assert found["counts"].verdict is Outcome.PASS
    assert found["batch and padding"].verdict in (Outcome.PASS, Outcome.WARN)


def test_a_readout_two_tokens_early_is_not_at_the_tag(prm):
    def early(trace):
        rendered = prm.render(trace)
        rows = tuple(replace(r, positions=tuple(p - 2 for p in r.positions)) for r in rendered.rows)
        return replace(rendered, rows=rows)

    found = diagnose(Spoiled(prm, early), CASES[:8])
    assert found["tag"].verdict is Outcome.FAIL
    assert "different tokens" in found["tag"].what


def test_a_readout_one_token_early_is_named_as_such(prm):
    def before(trace):
        rendered = prm.render(trace)
        rows = tuple(replace(r, positions=tuple(p - 1 for p in r.positions)) for r in rendered.rows)
        return replace(rendered, rows=rows)

    found = diagnose(Spoiled(prm, before), CASES[:8])
    assert "before one token" in found["tag"].what


def test_positions_found_by_searching_the_ids_are_moved_by_text(prm):
    """The tag joined as text, special tokens parsed, readouts where the tag's id stands: what wrappers do."""
    tag = prm.tokenizer.convert_tokens_to_ids("<|step|>")

    def search(trace):
        text = trace.problem.prompt + "\n" + "".join(s.rstrip() + "<|step|>" for s in trace.step_texts)
        ids = tuple(prm.tokenizer.encode(text, add_special_tokens=False))
        at = tuple(i for i, token in enumerate(ids) if token == tag)
        return Rendered((Row(ids, at, tuple(range(len(at)))),))

    found = diagnose(Spoiled(prm, search), CASES[:8])
    assert found["injected marks"].verdict is Outcome.FAIL
    assert set(found["injected marks"].evidence["wrong"]) == {
        "'<|step|>' in the step",
        "'<|step|>' in the whole step",
        "'<|step|>' in the problem",
    }
    assert found["counts"].verdict is Outcome.PASS
