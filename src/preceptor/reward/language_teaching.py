"""Teach a language model to write verdicts: supervised, then by preference on its own verdicts.

Texts come from `generative/`, in the very pieces that scoring uses. Filters: a rationale that states a verdict other
than its label spoils its whole trace (consensus), and a teacher's chain is kept only if every verdict in it equals the
label. For preferences the backbone writes K chains per step, each chain's verdict is drawn with its own probability,
and right ones are paired with wrong ones; a step on which all agree gives no pair.

Cost of preferences: K chains per step before training starts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.annotate.judges.verdict import verdict_word
from preceptor.errors import InputError
from preceptor.judgement import Scorer
from preceptor.policy.transformers_policy import TransformersPolicy
from preceptor.reward.examples import Group, Labelled, Labels, labelled, split
from preceptor.reward.format import KEY
from preceptor.reward.generative import (
    RPRM,
    Chain,
    GenerativePRM,
    Style,
    Taught,
    style_from_record,
)
from preceptor.reward.generative.talk import Talk, Turn, converse, judged
from preceptor.reward.language_model import logprobs
from preceptor.reward.language_rows import balanced, taught_example, verdict_rows, with_reference
from preceptor.reward.link import VALUE
from preceptor.reward.metrics import step_metrics
from preceptor.reward.objectives.language import GenerativeDPO, GenerativeSFT
from preceptor.reward.targets import TargetConfig
from preceptor.trace import Problem, stream_seed

if TYPE_CHECKING:
    from preceptor.reward.language import Run

CHECKED = 64
"""Held-out texts whose verdict is computed on both sides, at most."""


def train_generative(labels: Labels, run: Run, aim: GenerativeSFT | GenerativeDPO, name: str) -> Scorer:
    """Judged steps in, a `GenerativePRM` out."""
    from preceptor.reward.language import open_language

    config = run.config
    target = TargetConfig("hard", config.threshold, config.after_error)
    items = labelled(labels, target, run.dropped)
    sides = split(items, config.held_out, config.seed)
    style, chat = _style(aim, items, run), bool(run.tokenizer.chat_template)
    groups = (
        _sft_rows(aim, sides[0], style, chat, run)
        if isinstance(aim, GenerativeSFT)
        else _preference_rows(aim, sides[0], style, chat, run)
    )
    record = {"version": 2, "kind": "generative", "style": style.to_record(), "chat": chat, "name": name}
    trainer, curve = run.fit(groups, aim.loss(), record)
    scorer = open_language(run.out, device=str(run.model.device))
    assert isinstance(scorer, GenerativePRM)
    checked = sides[1] or sides[0]
    difference = _difference(trainer, scorer, checked, run)
    figures = _figures(replace(scorer, samples=1), checked) if sides[1] else None
    run.report(
        trainer,
        scorer,
        difference,
        sides=sides,
        objective=name,
        rows=sum(map(len, groups)),
        loss=curve,
        held_out=figures,
    )
    return scorer


def verdicts(item: Labelled) -> list[bool | None]:
    """The step labels of a hard-labelled trace."""
    return [None if y is None else y >= 0.5 for y in item.targets]


def reasons(item: Labelled) -> list[str | None]:
    why = item.judgement.rationale
    return list(why) if why is not None else [None] * len(item.targets)


def agrees(item: Labelled) -> bool:
    """Whether no rationale states a verdict that its label denies; silence is no contradiction."""
    pairs = zip(verdicts(item), reasons(item), strict=True)
    return not any(
        good is not None and why and (said := verdict_word(why)) is not None and said != good
        for good, why in pairs
    )


def consistent(chains: Sequence[Chain], item: Labelled, style: Style) -> list[Taught]:
    """Chains of one trace whose every verdict equals the label, as texts to teach. In a style whose chains hang
    together (`joint`), one wrong verdict drops all of its draw."""
    labels, joint = verdicts(item), getattr(style, "joint", False)
    kept: list[tuple[int, Taught]] = []
    spoiled = set()
    for chain in chains:
        label = style.label(item.trace, labels, chain.step)
        told = [(v, y) for v, y in zip(chain.votes, labels, strict=False) if v is not None and y is not None]
        first = next((k for k, (_, y) in enumerate(told) if not y), len(told))
        right = chain.probability is not None and label is not None and (chain.probability >= 0.5) == label
        if right and all(v == y for v, y in told[: first + 1]) and "cut-chain" not in chain.flags:
            kept.append((chain.draw, taught(chain, bool(label))))
        else:
            spoiled.add(chain.draw)
    return [text for draw, text in kept if not (joint and draw in spoiled)]


def taught(chain: Chain, good: bool) -> Taught:
    """A chain with a verdict, as a text to train on."""
    return Taught(chain.step, chain.messages, chain.parts, chain.options, good, chain.tail)


def _style(aim: GenerativeSFT | GenerativeDPO, items: Sequence[Labelled], run: Run) -> Style:
    if aim.style is not None:
        return aim.style
    if isinstance(aim, GenerativeSFT):
        if aim.teacher is not None:
            return aim.teacher.style
        return RPRM(think=any(any(reasons(i)) for i in items))
    record = getattr(run.model.whole.config, KEY, None)
    if not isinstance(record, dict) or record.get("kind") != "generative":
        raise InputError(
            "generative-dpo: the backbone does not say in which style it writes verdicts. Train it by generative-sft "
            "first, or give GenerativeDPO(style=...)."
        )
    return style_from_record(record["style"])


def _sft_rows(
    aim: GenerativeSFT, items: Sequence[Labelled], style: Style, chat: bool, run: Run
) -> list[Group]:
    own = aim.teacher.chains([i.trace for i in items]) if aim.teacher is not None else None
    rows = []
    for k, item in enumerate(items):
        if own is not None:
            texts = consistent(own[k], item, style)
            if len(texts) < len(own[k]):
                run.dropped.add("chain-disagrees", len(own[k]) - len(texts))
        elif agrees(item):
            texts = style.taught(item.trace, verdicts(item), reasons(item))
        else:
            texts = []
            run.dropped.add("rationale-disagrees")
        for n, text in enumerate(texts):
            example = taught_example(run.tokenizer, item.trace.problem, text, chat)
            if len(example.row.token_ids) > run.limit:
                run.dropped.add("too-long")
            else:
                rows.append((f"{item.trace.id} {text.step} {n}", text.good, (example,)))
    if not aim.balance:
        return [group for _, _, group in rows]
    return balanced(rows, run.config.seed, run.dropped)


def _preference_rows(
    aim: GenerativeDPO, items: Sequence[Labelled], style: Style, chat: bool, run: Run
) -> list[Group]:
    policy = TransformersPolicy(run.model.whole, run.tokenizer)
    sampling = replace(style.sampling, temperature=style.sampling.temperature or 1.0)
    writer = GenerativePRM(policy, style, seed=run.config.seed, sampling=sampling, chat=chat)
    groups: list[Group] = []
    found = writer.chains([i.trace for i in items], draws=aim.samples)
    for item, chains in zip(items, found, strict=True):
        groups += _pairs(item, chains, style, chat, run)
    known = logprobs(run.model, [e.row for group in groups for e in group], run.config.batch_tokens)
    return with_reference(groups, known)


def _pairs(item: Labelled, chains: Sequence[Chain], style: Style, chat: bool, run: Run) -> list[Group]:
    """(right, wrong) texts about each step, each chain in at most one pair."""
    out: list[Group] = []
    labels = verdicts(item)
    for step in sorted({c.step for c in chains}):
        label = style.label(item.trace, labels, step)
        sides: dict[bool, list[Any]] = {True: [], False: []}
        for chain in chains:
            if chain.step != step or chain.probability is None or label is None:
                continue
            draw = random.Random(stream_seed("verdict", run.config.seed, item.trace.id, step, chain.draw))
            said = draw.random() < chain.probability
            example = taught_example(run.tokenizer, item.trace.problem, taught(chain, said), chat)
            if len(example.row.token_ids) <= run.limit:
                sides[said == label].append(example)
        pairs = list(zip(sides[True], sides[False], strict=False))
        if not pairs:
            run.dropped.add("no-label" if label is None else "no-contrast")
        out += pairs
    return out


def _difference(trainer: Any, scorer: GenerativePRM, items: Sequence[Labelled], run: Run) -> float:
    """Largest difference, over held-out texts, of the verdict's probability in training and in serving."""
    texts = [
        (item.trace.problem, text)
        for item in items
        for text in scorer.style.taught(item.trace, verdicts(item), _some_reason(item, scorer.style))
    ][:CHECKED]
    pairs = [verdict_rows(run.tokenizer, problem, text, scorer.chat) for problem, text in texts]
    fits = [k for k, (row, _) in enumerate(pairs) if len(row.token_ids) <= run.limit]
    values = trainer.score_rows([row for k in fits for row in pairs[k]], VALUE)
    served = converse(scorer.policy, [_one(scorer, *texts[k]) for k in fits])
    worst = 0.0
    for n, (chain,) in enumerate(served):
        a, b = values[2 * n][0], values[2 * n + 1][0]
        ours = 1 / (1 + math.exp(min(b - a, 700.0)))
        worst = max(worst, math.inf if chain.probability is None else abs(ours - chain.probability))
    return worst


def _one(scorer: GenerativePRM, problem: Problem, text: Taught) -> Talk:
    turn = Turn(scorer.voice, problem, text.messages, 0)
    turn.parts = list(text.parts)
    return [(yield from judged(turn, text.step, text.options, turn.weigh(text.options)))]


def _some_reason(item: Labelled, style: Style) -> list[str | None]:
    """For the parity check any rationale will do; labels without them still have verdicts to compare."""
    own = reasons(item)
    return [why or "It is so." for why in own] if getattr(style, "think", False) else own


def _figures(scorer: GenerativePRM, items: Sequence[Labelled]) -> dict[str, Any]:
    """Of one chain per score, against what the style's verdict is about."""
    judged = scorer.score([i.trace for i in items])
    targets = []
    for item in items:
        wanted = [scorer.style.label(item.trace, verdicts(item), t) for t in range(len(item.trace.steps))]
        targets.append([None if y is None else float(y) for y in wanted])
    return step_metrics([j.scores for j in judged], targets)
