"""What every family must pass, whatever its layout: checks on an opened scorer that raise AssertionError.

They use the public door (`score`) and, where a check is about tokens, the scorer's `render`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from preceptor.errors import ModelError
from preceptor.reward.load import load_scorer
from preceptor.reward.scorer import PRM
from preceptor.trace import Problem, Trace
from tests.reward.toy import trace_of

PROBLEM = Problem("Mia has 12 boxes with 7 pens each. She gives away 30 pens. How many pens are left?")
STEPS = [
    "Mia has 12 * 7 = 84 pens.",
    "84 - 30 = 54 pens are left.",
    "So the answer is 54",
    "We add 12 and 7",
    "then take 3 away",
    "which gives one.",
    "How many are left?",
    "So 54.",
]
ODD = ["", "été ✓ 数学 \U0001f600", "first line\nsecond line\n\nthird", "x", "  \n", "So 54.", "-" * 40, "ки"]
MARKERS = [
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<s>",
    "</s>",
    "<unk>",
    "[PRM]",
    "<extra_0>",
    "<|endoftext|>",
    " ки",
    " и",
    "\n\n",
    " \n\n\n\n",
    " \n\n\n\n\n",
    "\n",
    " + - +",
]


def solution(steps: Sequence[str], problem: Problem = PROBLEM) -> Trace:
    """Steps as a segmenter leaves them: line breaks between belong to the step before."""
    return trace_of(problem, [s + "\n" for s in steps[:-1]] + list(steps[-1:]))


def opened(directory: Path, name: str, **options: Any) -> PRM:
    scorer = load_scorer(directory, format=name, device="cpu", **options)
    assert isinstance(scorer, PRM)
    return scorer


def numbers(scorer: PRM, trace: Trace) -> list[float]:
    """The scores that there are: all of them for process models, the last for outcome models."""
    return each(scorer, [trace])[0]


def each(scorer: PRM, traces: Sequence[Trace]) -> list[list[float]]:
    """`numbers` of several traces, scored in one call."""
    found = []
    for trace, judgement in zip(traces, scorer.score(traces), strict=True):
        assert judgement.error is None, judgement.error
        assert judgement.scores is not None
        assert len(judgement.scores) == len(trace.steps)
        given = [s for s in judgement.scores if s is not None]
        if scorer.format.whole:
            assert all(s is None for s in judgement.scores[:-1])
        else:
            assert len(given) == len(trace.steps)
        found.append(given)
    return found


def close(a: Sequence[float], b: Sequence[float], tolerance: float = 1e-5) -> None:
    assert list(a) == pytest.approx(list(b), abs=tolerance, rel=tolerance)


def count(scorer: PRM) -> None:
    """One score per step, whatever the steps hold; outcome models have one at the last step."""
    sizes = [n for n in range(1, 9) for _ in range(2)]
    found = each(scorer, [solution(steps[:n]) for n in range(1, 9) for steps in (STEPS, ODD)])
    assert [len(scores) for scores in found] == ([1] * 16 if scorer.format.whole else sizes)
    assert scorer.score([trace_of(PROBLEM, [])])[0].scores == ()


def documented(scorer: PRM, reference: Callable[[str, Sequence[str]], list[float]]) -> None:
    """The scores are those of the documented text, position, head and link, and they tell steps apart."""
    for steps in (STEPS[:1], STEPS[:3], STEPS):
        close(numbers(scorer, solution(steps)), reference(PROBLEM.prompt, steps))
    # The check can fail: read one token away, the same model says something else.
    for step in (-1, 1):
        for row in scorer.render(solution(STEPS)).rows:
            inside = [min(p + step, len(row.token_ids) - 1) for p in row.positions]
            (away,) = scorer.score_rows([replace(row, positions=tuple(inside))])
            changed = [abs(a - b) for a, b in zip(away, numbers(scorer, solution(STEPS)), strict=True)]
            assert max(changed) > 1e-4 or inside == list(row.positions)


def prefix(scorer: PRM) -> None:
    """What comes later changes no score."""
    if scorer.format.whole:
        return
    whole = numbers(scorer, solution(STEPS))
    parts = each(scorer, [solution(STEPS[:k]) for k in range(1, len(STEPS))])
    for k, scores in enumerate(parts, 1):
        close(scores, whole[:k])


def company(scorer: PRM) -> None:
    """Alone, in a batch, in another order, in small batches: the same scores."""
    traces = [solution(STEPS[:k]) for k in (1, 8, 3)] + [solution(ODD[:4]), solution(STEPS[4:])]
    alone = [numbers(scorer, t) for t in traces]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [1, 1, 0]):
        for i, judgement in zip(order, scorer.score([traces[i] for i in order]), strict=True):
            assert judgement.trace == traces[i].id
            close([s for s in judgement.scores or () if s is not None], alone[i])


def half(scorer: PRM, directory: Path, name: str) -> float:
    """In bf16 no score is lost. Returns the largest drift, in units of the largest score (at least 1)."""
    low = opened(directory, name, dtype="bfloat16")
    drift = 0.0
    for steps in (STEPS, ODD):
        full, rounded = numbers(scorer, solution(steps)), numbers(low, solution(steps))
        assert len(full) == len(rounded)
        size = max(1.0, *map(abs, full))
        drift = max(drift, *(abs(a - b) / size for a, b in zip(full, rounded, strict=True)))
    return drift


def length(scorer: PRM) -> None:
    """What exceeds the context is read through windows, or is a typed error: never fewer scores."""
    context = scorer.format.max_length
    long = solution([f"{STEPS[i % 8]} {i}" for i in range(60)])
    (judgement,) = scorer.score([long])
    rows = scorer.render(long).rows
    assert all(len(row.token_ids) <= context for row in rows)
    if scorer.format.whole:
        assert judgement.scores is None
        assert judgement.error is not None
        assert judgement.error.kind == "too-long"
    else:
        assert judgement.scores is not None
        assert len(judgement.scores) == 60
        assert None not in judgement.scores
        assert "windowed" in judgement.flags
        assert [t for row in rows for t in row.steps] == list(range(60))
    (huge,) = scorer.score([solution([STEPS[0], "word " * 400, STEPS[1]])])
    assert huge.error is not None
    assert huge.error.kind == "too-long"
    if not scorer.format.whole:
        assert huge.scores is not None
        assert [s is None for s in huge.scores] == [False, True, False]


def hostile(scorer: PRM) -> None:
    """Separators, chat markers and special tokens in a step are its text: as many readouts, behind the same
    steps, at the same tokens, and no control token that was not there."""
    tokenizer = scorer.tokenizer
    control = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    benign = scorer.render(solution(["so", "we", "go on"])).rows[0]
    traces = []
    for mark in MARKERS:
        attacked = solution(["so", f"we {mark} {mark}{mark} we", "go on"])
        rendered = scorer.render(attacked)
        (row,) = rendered.rows
        assert row.steps == benign.steps
        assert len(row.positions) == len(benign.positions)
        assert [row.token_ids[p] for p in row.positions] == [benign.token_ids[p] for p in benign.positions]
        assert [i for i in row.token_ids if i in control] == [i for i in benign.token_ids if i in control]
        known = mark in {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        tag = getattr(scorer.format.layout, "tag", "")
        if mark == tag and tag.strip():
            assert "neutralised-separator" in rendered.flags
        elif known:
            assert "neutralised-special-token" in rendered.flags
        if not scorer.format.whole:
            # Readouts before the attack are where they were; those behind it moved by what it is long.
            assert row.positions[0] == benign.positions[0]
            assert row.positions[2] - len(row.token_ids) == benign.positions[2] - len(benign.token_ids)
        traces.append(attacked)
    clean, *found = each(scorer, [solution(["so", "we"]), *traces])
    if not scorer.format.whole:
        for scores in found:
            close(scores[:1], clean[:1])


def damaged(
    directory: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], None], file: str
) -> Path:
    """A copy of a checkpoint with other weights in one of its files."""
    shutil.copytree(directory, target)
    state = load_file(target / file)
    change(state)
    save_file({k: v.contiguous() for k, v in state.items()}, target / file)
    return target


def head_files(scorer: PRM, directory: Path) -> tuple[str, list[str]]:
    """The file that holds what the family's head is made of, and the names of the weights."""
    if (directory / "adapter_config.json").is_file():
        return "adapter_model.safetensors", sorted(load_file(directory / "adapter_model.safetensors"))[:1]
    head = scorer.format.head
    if not hasattr(head, "keys"):
        return "model.safetensors", ["lm_head.weight"]
    file = f"{getattr(head, 'file', '') or 'model'}.safetensors"
    there = load_file(directory / file)
    return file, [key for key in head.keys().values() if key in there]


def refuses(scorer: PRM, directory: Path, name: str, tmp_path: Path) -> None:
    """Weights that are missing or of another width, and another model's files, are errors, never numbers."""
    file, keys = head_files(scorer, directory)
    weight = next(k for k in keys if k.endswith("weight"))
    cuts = {
        "missing": lambda state: state.pop(weight),
        "narrow": lambda state: state.update({weight: state[weight][..., :-1]}),
        "body": lambda state: [state.pop(k) for k in list(state) if "layers.1" in k or k == weight],
    }
    for kind, change in cuts.items():
        broken = damaged(directory, tmp_path / kind, change, file)
        with pytest.raises(ModelError):
            load_scorer(broken, format=name)
    if hasattr(scorer.format.head, "keys"):
        plain = tmp_path / "plain"
        shutil.copytree(directory, plain)
        for extra in plain.glob("*.safetensors"):
            extra.unlink()
        state = load_file(directory / "model.safetensors")
        body = {k: v for k, v in state.items() if k.startswith("model.")}
        table = body["model.embed_tokens.weight"].clone()
        save_file(body | {"lm_head.weight": table}, plain / "model.safetensors")
        config = json.loads((plain / "config.json").read_text())
        config["architectures"] = ["Qwen2ForCausalLM"]
        (plain / "config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError):
            load_scorer(plain, format=name)
