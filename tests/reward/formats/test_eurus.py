"""EurusPRM: two tiny real models, their log-ratio over a numbered solution, and where its steps end.

The reference is written out here: the chat template's text with the solution behind it, encoded once, log-softmax
in fp32, sums of differences up to the last token of each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from preceptor.errors import InputError
from preceptor.generation import Likelihood, Request
from preceptor.judgement import Question
from preceptor.policy import prompt_ids
from preceptor.reward.formats import FORMATS
from preceptor.reward.implicit import ImplicitPRM
from preceptor.reward.likelihood import LogRatio
from preceptor.reward.load import load_scorer
from preceptor.trace import Problem
from tests.reward.formats.families_turns import llama_tokenizer, qwen_tokenizer, save
from tests.reward.toy import trace_of

PROBLEM = Problem("Mia has 12 boxes with 7 pens each. How many pens?")
STEPS = ["Mia has 12 boxes.\n\n", "Each has 7 pens, so (12 * 7) = 84\n\n", "The answer is 84."]
TRACE = trace_of(PROBLEM, STEPS)
SHORT = trace_of(PROBLEM, ["84."])
WRITTEN = (
    "Step 1: Mia has 12 boxes.\n\nStep 2: Each has 7 pens, so (12 * 7) = 84\n\nStep 3: The answer is 84."
)
COEF = 0.005


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    path = tmp_path_factory.mktemp("eurus")
    return [save(path / f"m{seed}", qwen_tokenizer(), "qwen", seed) for seed in (1, 2)]


@dataclass(frozen=True)
class Reading:
    """A text read by both models after a problem: its tokens, where they end, and their log-ratios."""

    ids: list[int]
    ends: list[int]
    d: list[float]


def read(pair, problem: str, text: str) -> Reading:
    tokenizer = AutoTokenizer.from_pretrained(pair[0])
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem}], tokenize=False, add_generation_prompt=True
    )
    encoded = tokenizer(asked + text, add_special_tokens=False, return_offsets_mapping=True)
    ids, ends = encoded["input_ids"], [b - len(asked) for _, b in encoded["offset_mapping"]]
    first = next(i for i, end in enumerate(ends) if end > 0)
    logs = []
    for path in pair:
        model = AutoModelForCausalLM.from_pretrained(path).eval()
        with torch.no_grad():
            logp = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        logs.append([logp[i - 1, ids[i]].item() for i in range(first, len(ids))])
    return Reading(ids[first:], ends[first:], [a - b for a, b in zip(*logs)])


def prefix_sums(reading: Reading, text: str, steps: list[str]) -> list[float]:
    """coef * sum of d up to the token that holds the last character of each step."""
    sums, at = [], 0
    for step in steps:
        at = text.index(step, at) + len(step)
        last = next(i for i, end in enumerate(reading.ends) if end >= at)
        sums.append(COEF * math.fsum(reading.d[: last + 1]))
    return sums


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.fixture(scope="module")
def expected(pair):
    return prefix_sums(read(pair, PROBLEM.prompt, WRITTEN), WRITTEN, [s.strip() for s in STEPS])


def test_scores_are_the_sigmoid_of_prefix_sums(pair, expected):
    scorer = load_scorer(pair[0], format="eurus", reference=str(pair[1]))
    (judged,) = scorer.score([TRACE])
    assert judged.scores == pytest.approx([sigmoid(c) for c in expected], abs=1e-6)
    assert judged.question is Question.VALUE
    assert judged.trace == TRACE.id
    tau = FORMATS["eurus"].threshold
    below = [t for t, s in enumerate(judged.scores) if s < tau]
    assert judged.first_error == (below[0] if below else -1)


def test_single_scores_are_differences_and_add_up(pair, expected):
    options = {"format": "eurus", "reference": str(pair[1]), "sigmoid": False}
    (cumulative,) = load_scorer(pair[0], **options).score([TRACE])
    (single,) = load_scorer(pair[0], form="single", **options).score([TRACE])
    assert cumulative.scores == pytest.approx(expected, abs=1e-6)
    steps = [b - a for a, b in zip([0.0, *expected], expected)]
    assert single.scores == pytest.approx(steps, abs=1e-6)
    assert single.question is Question.PROGRESS
    assert math.fsum(single.scores) == pytest.approx(cumulative.scores[-1], abs=1e-9)
    assert cumulative.first_error is None  # the threshold is one of the sigmoid


def test_steps_end_where_they_end_and_not_one_token_later(pair, expected):
    """The published boundary: each prefix rendered anew, the index two before the end of its ids."""
    tokenizer = AutoTokenizer.from_pretrained(pair[0])
    reading = read(pair, PROBLEM.prompt, WRITTEN)
    prompt = len(prompt_ids(tokenizer, PROBLEM))
    published = []
    for t in range(1, 4):
        prefix = "\n\n".join(WRITTEN.split("\n\n")[:t])
        turns = [{"role": "user", "content": PROBLEM.prompt}, {"role": "assistant", "content": prefix}]
        end = len(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)) - 2 - prompt
        published.append(COEF * math.fsum(reading.d[: end + 1]))
    assert published[2] == pytest.approx(expected[2])
    for t in range(2):
        k = next(
            i
            for i in range(len(reading.d))
            if math.isclose(COEF * math.fsum(reading.d[: i + 1]), expected[t])
        )
        assert published[t] == pytest.approx(expected[t] + COEF * reading.d[k + 1], abs=1e-9)
        assert abs(published[t] - expected[t]) > 1e-6


def test_a_token_that_merges_the_end_of_a_step_and_the_blank_line_counts_to_the_step(pair):
    tokenizer = AutoTokenizer.from_pretrained(pair[0])
    written = load_scorer(pair[0], format="eurus", reference="none").written(TRACE)
    assert written.text == WRITTEN
    ends = [s.end for s in written.steps]
    # `.` and the blank line are one token here, `84` and the blank line are not.
    assert WRITTEN[ends[0] - 3 : ends[0]] == ".\n\n"
    assert ".\n\n" in [tokenizer.decode([i]) for i in tokenizer.encode(WRITTEN)]
    assert WRITTEN[ends[1] - 2 : ends[1]] == "84"
    assert ends[2] == len(WRITTEN)


def test_company_and_padding_change_nothing(pair):
    scorer = load_scorer(pair[0], format="eurus", reference=str(pair[1]))
    (alone,) = scorer.score([SHORT])
    both = scorer.score([TRACE, SHORT, trace_of(Problem("?"), STEPS * 4)])
    assert both[1].scores == pytest.approx(alone.scores, abs=1e-7)
    assert [len(j.scores) for j in both] == [3, 1, 12]


def test_the_model_against_itself_is_indifferent(pair):
    (judged,) = load_scorer(pair[0], format="eurus", reference=str(pair[0])).score([TRACE])
    assert judged.scores == (0.5, 0.5, 0.5)


def test_later_steps_do_not_change_earlier_scores(pair, expected):
    """Where no token crosses the cut: the numbering and the joiner of a prefix are those of the whole."""
    scorer = load_scorer(pair[0], format="eurus", reference=str(pair[1]), sigmoid=False)
    (two,) = scorer.score([trace_of(PROBLEM, [s.replace("boxes.", "boxes") for s in STEPS[:2]])])
    (three,) = scorer.score([trace_of(PROBLEM, [s.replace("boxes.", "boxes") for s in STEPS])])
    assert two.scores == pytest.approx(three.scores[:2], abs=1e-7)


def test_a_step_that_numbers_itself_is_not_numbered_twice(pair):
    scorer = load_scorer(pair[0], format="eurus", reference="none")
    written = scorer.written(trace_of(PROBLEM, ["Step 1: a\n\n", "b"]))
    assert written.text == "Step 1: a\n\nStep 2: b"


def test_a_chat_marker_in_a_step_stays_text(pair):
    scorer = load_scorer(pair[0], format="eurus", reference=str(pair[1]))
    trace = trace_of(PROBLEM, ["a<|im_end|>\n\n", "b"])
    (judged,) = scorer.score([trace])
    text = scorer.written(trace).text
    assert text == "Step 1: a<|im_end|>\n\nStep 2: b"
    # Read as a control token, the text would be shorter, and the sums other values.
    reader = scorer.ratio.model
    (seen,) = reader.likelihood([Request(PROBLEM)], [text])
    assert reader.tokenizer.convert_tokens_to_ids("<|im_end|>") not in seen.token_ids
    assert len(judged.scores) == 2


def test_other_vocabularies_and_a_missing_reference_are_refused(pair, tmp_path):
    with pytest.raises(InputError, match="reference"):
        load_scorer(pair[0], format="eurus")
    other = save(tmp_path, llama_tokenizer(), "llama")
    with pytest.raises(InputError, match="vocabular"):
        load_scorer(pair[0], format="eurus", reference=str(other))


def test_without_tokens_steps_end_at_their_last_character():
    class Uniform:
        """Reads one character per token; every token has log-probability -1."""

        fingerprint = "uniform"

        def likelihood(self, requests, texts):
            return [
                Likelihood(tuple(range(len(t))), tuple(range(1, len(t) + 1)), (-1.0,) * len(t)) for t in texts
            ]

    scorer = ImplicitPRM(LogRatio(Uniform(), None, coef=1.0))
    (judged,) = scorer.score([trace_of(PROBLEM, ["ab\n\n", "cde"])])
    assert judged.scores == (-float(len("Step 1: ab")), -float(len("Step 1: ab\n\nStep 2: cde")))
