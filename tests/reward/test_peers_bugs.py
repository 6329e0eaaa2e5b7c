"""The bugs that other tools shipped: for each, what the naive code does on a tiny case, and that ours does not.

The name of the tool, and the number of the issue or pull request where there is one, stand in the docstrings. Bugs
that belong to one family of checkpoints are tested beside its record:

    a model opened as a plain language model        formats/golden.py, `refuses`
    the published prefix boundary, one too late     formats/test_eurus.py
    a tag in a step that adds a readout             formats/golden.py, `hostile`
    two bos tokens, a tag glued to a word           formats/test_pieces.py
    a served answer with too few or many scores     test_remote.py
    a neutral rating without a stated meaning       labels/test_steps.py
    a softmax in bf16                               test_targets_and_losses.py, formats/golden.py, `half`
    scores that depend on the rest of the batch     formats/golden.py, `company`
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer
from transformers.loss.loss_utils import ForCausalLMLoss

import preceptor
from preceptor.errors import CheckFailed
from preceptor.judgement import Question
from preceptor.reward import PRM, parity
from preceptor.reward.examples import Dropped, Labelled, examples, labelled
from preceptor.reward.format import UNLIMITED
from preceptor.reward.formats import FORMATS
from preceptor.reward.layout import Chat, Encoder, Plain, Tagged, Turns
from preceptor.reward.losses import ce
from preceptor.reward.model import build
from preceptor.reward.readout import collate
from preceptor.reward.render import Rendered, Renderer, Row
from preceptor.reward.targets import TargetConfig
from preceptor.segment import blank_line
from preceptor.trace import Problem, Trace
from tests.reward.formats import tokenizing
from tests.reward.formats.families_turns import llama_tokenizer, qwen_tokenizer
from tests.reward.toy import ToyLabels, backbone, judged, trace_of

PROBLEM = Problem("Mia has 12 boxes with 7 pens each. How many pens?")
STEPS = ["12*7=84 pens.\n", "84-30=54 pens.\n", "So 54.\n"]
TRACE = trace_of(PROBLEM, STEPS)


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> PRM:
    """An untrained reward model with a large head."""
    path = tmp_path_factory.mktemp("prm")
    torch.manual_seed(1)
    model, tokenizer, _ = build(backbone(path / "lm"), question=Question.VALIDITY)
    model.save(path / "prm")
    tokenizer.save_pretrained(path / "prm")
    return PRM.load(path / "prm")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer of Qwen's kind, with its tag and chat template."""
    path = tmp_path_factory.mktemp("qwen")
    tokenizing.qwen(path, ["<extra_0>"])
    return AutoTokenizer.from_pretrained(path)


def scores_of(prm: PRM, *traces: Trace) -> list[list[float]]:
    found = prm.score(traces)
    assert all(j.error is None for j in found)
    return [[s for s in j.scores or () if s is not None] for j in found]


# Labels


def test_an_ignored_label_in_a_bool_column_becomes_correct():
    """TRL, pull request 2127: `datasets.map` kept the column's type bool, so -100 (ignore) became True."""
    labels = [True, -100, -100, False]
    naive = torch.tensor(labels, dtype=torch.bool)
    assert naive.tolist() == [True, True, True, False]  # ignored tokens train as correct, accuracy looks fine
    batch = collate([Row((1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3))], [[(1.0,), (None,), (None,), (0.0,)]])
    assert batch["mask"][0, :, 0].tolist() == [True, False, False, True]
    assert batch["targets"].dtype == torch.float32
    outputs = torch.zeros(1, 4, 2, requires_grad=True)
    ce(outputs, batch["targets"], batch["mask"]).backward()
    assert outputs.grad is not None
    assert outputs.grad[0].abs().sum(-1).bool().tolist() == [True, False, False, True]


@pytest.mark.parametrize("given", [2, 4])
def test_labels_that_are_not_as_many_as_steps_are_not_zipped(given):
    """ThinkPRM, issue 4 (labels and steps differ in number); openr cuts the labels to the tags it finds."""
    labels = (1.0, 0.0, 1.0, 0.0)[:given]
    naive = list(zip(STEPS, labels, strict=False))
    assert 0 < len(naive) < max(given, len(STEPS))  # trains on pairs that may be off by one, without a word
    dropped = Dropped()
    assert labelled(ToyLabels([TRACE], [judged(TRACE, labels)]), TargetConfig(), dropped) == []
    assert dropped.reasons == {"wrong-number-of-scores": 1}


def test_a_length_limit_drops_the_last_labels():
    """TRL `max_length` and OpenRLHF: rows are cut on the right, and the late steps' labels are gone."""
    tokenizer, steps = _tiny_tokenizer(), [f"{i}+{i}={2 * i}\n" for i in range(20)]
    trace = trace_of(PROBLEM, steps)
    item = Labelled(trace, (1.0,) * 20, judged(trace, (1.0,) * 20))
    (whole,) = _renderer(tokenizer)(trace).rows
    limit = 100
    assert 0 < sum(p < limit for p in whole.positions) < 20  # what the naive cut leaves
    dropped = Dropped()
    groups = examples([item], _renderer(tokenizer, limit), dropped)
    assert sorted(t for (e,) in groups for t in e.row.steps) == list(range(20))
    assert all(len(e.row.token_ids) <= limit for (e,) in groups)
    assert not dropped.reasons
    huge = trace_of(PROBLEM, [steps[0], "9" * 200, steps[1]])
    examples([Labelled(huge, (1.0,) * 3, judged(huge, (1.0,) * 3))], _renderer(tokenizer, limit), dropped)
    assert dropped.reasons == {"step-too-long": 1}  # what cannot be read is counted


def test_cutting_on_the_left_moves_every_score_to_another_step(prm):
    """Qwen2.5-Math-PRM's wrappers, `truncation_side="left"`: early tags are gone, the list starts with step k."""
    steps = [f"{i}+{i}={2 * i}\n" for i in range(20)]
    (row,) = prm.render(trace_of(PROBLEM, steps)).rows
    cut = len(row.token_ids) - 60
    naive = [p - cut for p in row.positions if p >= cut]
    assert len(naive) < 20  # scores[0] belongs to a step in the middle
    prm.render.max_length, before = 60, prm.render.max_length
    try:
        (judgement,) = prm.score([trace_of(PROBLEM, steps)])
        first = prm.score([trace_of(PROBLEM, steps[:1])])[0].scores
    finally:
        prm.render.max_length = before
    assert judgement.scores is not None
    assert first is not None
    assert len(judgement.scores) == 20
    assert judgement.scores[0] == pytest.approx(first[0], abs=1e-5)
    assert "windowed" in judgement.flags


# The separator


def test_a_separator_joined_as_text_merges_with_the_step(qwen):
    """ProcessBench, pull request 12: another tokenization of the separator cost 4 points of F1."""
    encoder, step = Encoder(qwen), "So 54 pens."
    for separator in ("\n", "\n\n"):
        naive = qwen.encode(step + separator, add_special_tokens=False)
        (tag,) = encoder.tag_ids(separator)
        assert naive[-1] != tag  # ".\n" is one token: the separator is nowhere in the text
        (row,) = Renderer(qwen, Tagged(separator, Plain()), UNLIMITED)(trace_of(PROBLEM, [step, step])).rows
        assert [row.token_ids[p] for p in row.positions] == [tag, tag]


def test_a_tag_without_its_blank_is_another_token(tmp_path):
    """Math-Shepherd: the tag is the piece with a blank before it; glued to a word or behind a line break it is
    other pieces, and the mask of its id is empty."""
    tokenizing.pieces(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tag = tokenizer.convert_tokens_to_ids("▁ки")
    for naive in ("So 54 pens.ки", "So 54 pens.\nки"):
        assert tag not in tokenizer.encode(naive)
    (row,) = Renderer(tokenizer, FORMATS["math-shepherd"].layout, UNLIMITED)(TRACE).rows
    assert [i for i, t in enumerate(row.token_ids) if t == tag] == list(row.positions)
    assert len(row.positions) == len(STEPS)


def test_a_blank_line_at_the_end_is_no_step(prm):
    """search-and-learn: splitting at blank lines makes an empty last step, which is scored and taken as the
    solution's score by `last`."""
    text = "12*7=84\n\nSo 84.\n\n"
    assert text.split("\n\n") == ["12*7=84", "So 84.", ""]
    steps = blank_line(text)
    assert [text[s.start : s.end] for s in steps] == ["12*7=84\n\n", "So 84.\n\n"]
    (scores,) = scores_of(prm, Trace(PROBLEM, text, steps))
    assert len(scores) == 2


def test_an_empty_step_keeps_its_place(prm):
    """PURE, issue 20, and wrappers that skip empty pieces: the scores behind one move up by a step."""
    steps = ["1+1=2\n", "\n", "2+2=5\n"]
    naive = [s for s in "".join(steps).split("\n") if s]
    assert naive.index("2+2=5") == 1  # the wrong step is now step 1 of 2
    with_empty, without = scores_of(prm, trace_of(PROBLEM, steps), trace_of(PROBLEM, steps[:1]))
    assert len(with_empty) == 3
    assert with_empty[0] == pytest.approx(without[0], abs=1e-5)


# The position


def test_a_label_on_the_tag_with_a_shifted_loss_trains_the_token_before_it(prm):
    """openr: labels stand at the tag's index in a trainer whose loss shifts by one, scores are read at the tag."""
    (row,) = prm.render(TRACE).rows
    tags = list(row.positions)
    labels = torch.full((1, len(row.token_ids)), -100)
    labels[0, tags] = 5
    logits = torch.zeros(1, len(row.token_ids), 320, requires_grad=True)
    ForCausalLMLoss(logits, labels, vocab_size=320).backward()
    assert logits.grad is not None
    trained = logits.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    assert trained == [p - 1 for p in tags]  # nothing is ever learned where the score is read

    def shifted(trace: Trace) -> Rendered:
        rows = prm.render(trace).rows
        return Rendered(tuple(Row(r.token_ids, tuple(p - 1 for p in r.positions), r.steps) for r in rows))

    served = prm.score([TRACE])
    assert parity.max_difference([TRACE], prm.render, prm.score_rows, served) == 0
    with pytest.raises(CheckFailed, match="parity"):
        parity.check(parity.max_difference([TRACE], shifted, prm.score_rows, served))  # type: ignore[arg-type]


def test_a_fixed_offset_from_the_end_holds_for_one_template_only():
    """RLHFlow's `-3`: right for Llama-3.1, whose turn is [header, blank line, +, end], and for no template that
    puts a line break behind the end of a turn."""
    naive_is_right = {}
    for name, tokenizer in (("llama", llama_tokenizer()), ("qwen", qwen_tokenizer())):
        turns = [
            {"role": "user", "content": "Mia has 12 pens. So 12."},
            {"role": "assistant", "content": "+"},
        ]
        ids = list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False))
        (plus,) = tokenizer.encode("+", add_special_tokens=False)
        at = len(ids) - 1 - ids[::-1].index(plus)
        naive_is_right[name] = len(ids) - 3 == at - 1
        render = Renderer(tokenizer, Turns(), UNLIMITED)
        (row,) = render(trace_of(Problem("Mia has 12 pens."), ["So 12."])).rows
        assert row.positions == (at - 1,)
        assert list(row.token_ids) == ids[:at]
    assert naive_is_right == {"llama": True, "qwen": False}


def test_the_last_token_of_a_chat_is_not_the_tag(qwen):
    """Readouts at -1 or at the attention mask's sum: Qwen's template ends a turn with a token and a line break."""
    content = "So 54 pens.<extra_0>"
    turns = [{"role": "user", "content": PROBLEM.prompt}, {"role": "assistant", "content": content}]
    ids = list(qwen.apply_chat_template(turns, tokenize=True, return_dict=False))
    tag = qwen.convert_tokens_to_ids("<extra_0>")
    assert qwen.convert_ids_to_tokens(ids[-2:]) == ["<|im_end|>", "Ċ"]
    (row,) = Renderer(qwen, Tagged("<extra_0>", Chat(None)), UNLIMITED)(
        trace_of(PROBLEM, ["So 54 pens."])
    ).rows
    assert row.positions == (ids.index(tag),)
    assert row.token_ids[row.positions[0]] == tag


def test_the_last_token_is_not_the_same_place_under_both_paddings():
    """ReasonFlux-PRM-1.5B's `mask.sum() - 1` wants padding on the right, and `[:, -1]` wants it on the left."""
    short, long = [1, 2, 3], [4, 5, 6, 7, 8]
    for side, rows in (("right", [[*short, 0, 0], long]), ("left", [[0, 0, *short], long])):
        mask = torch.tensor([[int(t != 0) for t in r] for r in rows])
        ids = torch.tensor(rows)
        by_sum = ids[torch.arange(2), mask.sum(-1) - 1].tolist()
        by_end = ids[:, -1].tolist()
        assert (by_sum == [3, 8]) is (side == "right")
        assert (by_end == [3, 8]) is (side == "left")
    batch = collate([Row(tuple(r), (len(r) - 1,), (0,)) for r in (short, long)])
    assert batch["input_ids"].gather(1, batch["positions"]).flatten().tolist() == [3, 8]


def test_padding_that_is_not_masked_changes_scores(prm):
    """search-and-learn's Qwen wrapper pads and gives no attention mask."""
    short, long = trace_of(PROBLEM, STEPS[:1]), trace_of(PROBLEM, STEPS * 3)
    (row,) = prm.render(short).rows
    pad = 40
    with torch.inference_mode():
        ids = torch.tensor([[prm.tokenizer.pad_token_id] * pad + list(row.token_ids)])
        naive = prm.model(ids, torch.tensor([[row.positions[0] + pad]]))
    ((alone,),) = scores_of(prm, short)
    assert abs(prm.format.link.score(naive).item() - alone) > 1e-3
    beside, _ = scores_of(prm, short, long)
    assert beside[0] == pytest.approx(alone, abs=1e-6)


# The numbers


def test_scores_collected_by_what_is_not_zero_shift_when_one_underflows(prm):
    """The sample code of Qwen2.5-Math-PRM and the wrappers made of it (search-and-learn, reward_hub): the
    probabilities times the tags' mask, and of these the ones that are not 0."""
    logits = torch.tensor([[0.0, 1.0], [200.0, -200.0], [0.0, 2.0]])
    masked = torch.zeros(6, 2)
    masked[[1, 3, 5]] = logits.softmax(-1)
    good = masked[:, 1][masked[:, 1] != 0]
    assert good.tolist() == pytest.approx([0.731, 0.881], abs=1e-3)  # the third step's score is the second's
    hook = prm.model.head.register_forward_hook(lambda *_: logits)
    try:
        (scores,) = scores_of(prm, TRACE)
    finally:
        hook.remove()
    assert scores == pytest.approx([0.731, 0.0, 0.881], abs=1e-3)


def test_dropout_is_off_when_scores_are_read(prm):
    """Skywork-o1-Open-PRM: the value head has dropout 0.1, and a wrapper without `eval()` scores at random."""
    assert not any(module.training for module in prm.model.modules())
    drop = torch.nn.Dropout(0.1)
    state = torch.ones(64)
    assert not torch.equal(drop(state), drop(state))  # a fresh module is in training mode
    assert scores_of(prm, TRACE) == scores_of(prm, TRACE)


# Text

LOST = re.compile("[\x07\x08\x0b\x0c\r](?=[A-Za-z])|\t(?=ext|imes|heta|an\\b|frac)")
"""A control character where LaTeX has a backslash: \\boxed, \\frac, \\vec, \\alpha, \\right, \\text."""


def test_no_prompt_has_a_control_character_for_a_backslash():
    """One wrapper of Qwen2.5-Math-PRM writes its system text in a plain string, in which `\\b` is a backspace."""
    assert LOST.search("put your answer within \boxed{}.")
    assert LOST.search("\frac{1}{2}")
    assert not LOST.search(r"put your answer within \boxed{}.")
    assert [text for text in _package_strings() if LOST.search(text)] == []
    odd = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
    for name, record in FORMATS.items():
        assert [text for text in _strings(record) if odd.search(text)] == [], name
    assert "\\boxed{}" in FORMATS["qwen"].layout.prompt.system
    assert "\\boxed{}" in FORMATS["actprm"].layout.prompt.system


def _package_strings() -> Iterator[str]:
    for file in Path(preceptor.__file__).parent.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        if not re.search(r"\\[abfvrtx]|[\x07\x08\x0b\x0c]", source):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _strings(value: Any) -> Iterator[str]:
    """All texts inside a record."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for f in fields(value):
            yield from _strings(getattr(value, f.name))
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _strings(pair)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _tiny_tokenizer() -> Any:
    from tests.tiny import tiny_tokenizer

    return tiny_tokenizer()


def _renderer(tokenizer: Any, limit: int = UNLIMITED) -> Renderer:
    return Renderer(tokenizer, Tagged("<|step|>"), limit)
