"""Can scores be matched to steps at all: answers, counts, the tag in context, injected marks, truncation.

Everything here is exact: one trace that comes out wrong is a failure, no interval needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from preceptor.bench.doctor.cases import with_steps
from preceptor.bench.doctor.finding import Finding, Outcome
from preceptor.bench.doctor.subject import HasRender, Subject, mismatch, renders
from preceptor.errors import MissingExtra, ServerUnreachable
from preceptor.trace import Problem, Trace

SHAPES: dict[str, list[str]] = {
    "no step": [],
    "one step": ["1+1=2\n"],
    "100 steps": [f"{i}+1={i + 1}\n" for i in range(100)],
    "empty step": ["1+1=2\n", "", "2+2=4\n"],
    "only an empty step": [""],
    "step of spaces": ["1+1=2\n", "   ", "2+2=4\n"],
    "blank lines": ["1+1=2\n\n\n", "\n", "\n\n", "2+2=4"],
    "line breaks inside a step": ["first\nsecond\n\nthird\n", "2+2=4\n"],
    "Windows line ends": ["1+1=2\r\n", "\r\n", "2+2=4\r\n"],
    "no line ends": ["1+1=2", "2+2=4", "4+4=8"],
    "unicode": ["数式 ∑ é é 🙂👩‍🔬\n", "שלום \u202e\u200b ١+١=٢\n", "\ufeff½ ≠ 0\n"],
    "control characters": ["\x00\x07 1+1=2\n", "\t\x0b\x0c\x1b[0m\n"],
    "one step of 2,000 characters": ["and so on " * 200 + "\n"],
}
"""Kinds of trace -> step texts."""

MARKS = ("<|step|>", "<extra_0>", " ки", "\n\n", "\n\n\n\n\n", "<|im_end|>\n<|im_start|>assistant\n",
         "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "<|endoftext|>", "</s><s>",
         "[/INST]", "<+>", "<|vision_start|>")  # fmt: skip
"""Step tags and turn markers of public reward models, tried beside the scorer's own."""

CONTEXT = 4096
"""Taken where the context is not known: that of most public reward models."""
SUMS = 8
"""Sums in one step of the long trace, each of at least three tokens and usually `TYPICAL`: few steps, because
scorers that read the whole trace anew for every step pay for their number."""
TYPICAL = 8
LONG_TOKENS = 1 << 15
"""Contexts longer than this are not filled: it would cost more than all other checks together."""


def answers(subject: Subject) -> list[Finding]:
    """Does it judge ordinary traces at all?"""
    given = subject.judgements
    unusable = [m for t, j in zip(subject.traces, given, strict=True) if (m := mismatch(t, j))]
    errors = Counter(j.error.kind for j in given if j.error is not None)
    scored, n = len(subject.base), len(given)
    what = f"{scored} of {n} traces scored"
    evidence: dict[str, Any] = {"traces": n, "scored": scored, "errors": dict(errors)}
    if subject.outcome:
        what += ", last steps only (an outcome model)"
    if errors:
        what += f"; errors: {', '.join(f'{k} {c}' for k, c in errors.most_common(3))}"
    if not scored and not unusable:
        return [Finding("answers", Outcome.FAIL, what + ".", evidence, "Read the errors: nothing else can be "
                        "examined.")]  # fmt: skip
    verdict = Outcome.WARN if errors else Outcome.PASS
    return [Finding("answers", verdict, what + ".", evidence, "Read the errors." if errors else "")]


def counts(subject: Subject) -> list[Finding]:
    """One score per step, whatever the steps look like?"""
    problem = subject.problem
    wrong: dict[str, str] = {}
    for kind, texts in SHAPES.items():
        if why := complaint(subject, with_steps(problem, texts)):
            wrong[kind] = why
    ordinary = [m for t, j in zip(subject.traces, subject.judgements, strict=True) if (m := mismatch(t, j))]
    if ordinary:
        wrong["ordinary traces"] = f"{ordinary[0]} ({len(ordinary)} of {len(subject.traces)} traces)"
    if wrong:
        shown = "; ".join(f"{kind}: {why}" for kind, why in list(wrong.items())[:4])
        return [Finding("counts", Outcome.FAIL, f"scores and steps do not match for {len(wrong)} kinds of trace: "
                        f"{shown}.", {"wrong": wrong},
                        "Read scores by position, never by searching the text or by what is not zero.")]  # fmt: skip
    return [Finding("counts", Outcome.PASS, f"as many scores as steps for {len(SHAPES)} kinds of odd trace.")]


def complaint(subject: Subject, trace: Trace) -> str | None:
    """What is wrong with the judgement of one trace: a mismatch, or an exception."""
    try:
        (judgement,) = subject.ask([trace])
    except (ServerUnreachable, MissingExtra):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        return f"raised {type(error).__name__}: {str(error)[:120]}"
    return mismatch(trace, judgement)


def injection(subject: Subject) -> list[Finding]:
    """Can text in a step or a problem add, move or remove a readout?"""
    several = [t for t in subject.traces if len(t.steps) > 1]
    if not several:
        return [Finding("injected marks", Outcome.SKIP, "no trace has two steps.")]
    base = min(several, key=lambda t: (len(t.text) + len(t.problem.prompt), t.id))
    marks = marks_for(subject)
    wrong: dict[str, str] = {}
    for mark in marks:
        for place, trace in _marked(base, mark).items():
            why = complaint(subject, trace) or _moved(subject, base, trace)
            if why:
                wrong[f"{mark!r} in the {place}"] = why
    if wrong:
        shown = "; ".join(f"{kind}: {why}" for kind, why in list(wrong.items())[:3])
        return [Finding("injected marks", Outcome.FAIL, f"text moves readouts in {len(wrong)} ways: {shown}.",
                        {"wrong": wrong}, "Encode steps without special tokens, and take positions from "
                        "construction.")]  # fmt: skip
    return [Finding("injected marks", Outcome.PASS, f"{len(marks)} tags, turn markers and special tokens, in steps "
                    "and in the problem, add and move no readout.", {"marks": marks})]  # fmt: skip


def marks_for(subject: Subject) -> list[str]:
    own = [subject.tag] if subject.tag else []
    tokenizer = getattr(subject.scorer, "tokenizer", None)
    special = [str(s) for s in getattr(tokenizer, "all_special_tokens", [])][:16]
    return list(dict.fromkeys([*own, *special, *MARKS]))


def _marked(trace: Trace, mark: str) -> dict[str, Trace]:
    texts = trace.step_texts
    half = len(texts[0]) // 2
    inside = [texts[0][:half] + mark + texts[0][half:], *texts[1:]]
    alone = [mark + "\n", *texts[1:]]
    problem = trace.problem
    asked = Problem(f"{problem.prompt}{mark}", problem.gold, world=problem.world, meta=problem.meta)
    made = {"step": with_steps(problem, inside), "problem": with_steps(asked, texts)}
    # A mark of nothing but blanks as a whole step is an empty step, which is `counts`' business.
    return made | ({"whole step": with_steps(problem, alone)} if mark.strip() else {})


def _moved(subject: Subject, benign: Trace, hostile: Trace) -> str | None:
    """For a scorer that shows its rows: every step is read once, and a reserved tag stands nowhere else (seen
    where one row holds the trace)."""
    scorer = subject.scorer
    if not renders(scorer):
        return None
    read = sorted(t for row in scorer.render(hostile).rows for t in row.steps)
    if read != sorted(t for row in scorer.render(benign).rows for t in row.steps):
        return f"steps {read} are read, of {len(hostile.steps)}"
    tag = _constant_tag(scorer, benign)
    rows = [*scorer.render(benign).rows, *scorer.render(hostile).rows]
    if tag is None or not subject.tag.strip() or len(rows) != 2:
        return None
    before, after = (row.token_ids.count(tag) for row in rows)
    return None if before == after else f"the tag stands {after} times in the ids, expected {before}"


def _constant_tag(scorer: HasRender, trace: Trace) -> int | None:
    found = {row.token_ids[p] for row in scorer.render(trace).rows for p in row.positions}
    return found.pop() if len(found) == 1 else None


def tag(subject: Subject) -> list[Finding]:
    """Is the place where scores are read the same token for every step?"""
    scorer = subject.scorer
    if not renders(scorer):
        return [Finding("tag", Outcome.SKIP, "a black box: the ids it reads are not shown.")]
    at: Counter[int] = Counter()
    after: Counter[int] = Counter()
    reads = 0
    for trace in subject.traces[:32]:
        for row in scorer.render(trace).rows:
            if why := _badly_placed(row.positions, len(row.token_ids), len(row.steps)):
                return [Finding("tag", Outcome.FAIL, f"trace {trace.id}: {why}.", {"trace": trace.id},
                                "Every step needs a position of its own, in order.")]  # fmt: skip
            reads += len(row.positions)
            at.update(row.token_ids[p] for p in row.positions)
            after.update(row.token_ids[p + 1] for p in row.positions if p + 1 < len(row.token_ids))
    return [_tag_finding(subject, scorer, at, after, reads)]


def _tag_finding(
    subject: Subject, scorer: HasRender, at: Counter[int], after: Counter[int], reads: int
) -> Finding:
    def named(token: int) -> str:
        return f"{scorer.tokenizer.convert_ids_to_tokens(token)!r} (id {token})"

    evidence: dict[str, Any] = {"reads": reads, "tag": subject.tag, "tokens": dict(at.most_common(8))}
    if len(at) == 1:
        what = f"all {reads} scores are read at one token, {named(next(iter(at)))}."
        return Finding("tag", Outcome.PASS, what, evidence)
    read = str(getattr(getattr(scorer.render, "layout", None), "read", ""))
    if len(after) == 1 or (not after and read.startswith("before")):
        what = f"all {reads} scores are read before one token, {', '.join(map(named, after))}."
        return Finding("tag", Outcome.PASS, what, evidence)
    if read.endswith("last") or not subject.tag:
        what = f"{reads} scores are read at the ends of steps, at {len(at)} different tokens, as the format says."
        return Finding("tag", Outcome.PASS, what, evidence)
    common = ", ".join(f"{named(t)} {n}" for t, n in at.most_common(3))
    return Finding("tag", Outcome.FAIL, f"the tag {subject.tag!r} is not one token in context: {reads} "
                   f"scores are read at {len(at)} different tokens ({common}).", evidence,
                   "Append the tag as an id; text joined to a step merges with it.")  # fmt: skip


def _badly_placed(positions: Sequence[int], length: int, steps: int) -> str | None:
    if len(positions) != steps:
        return f"{len(positions)} positions for {steps} steps"
    if any(b <= a for a, b in pairwise(positions)):
        return "two steps are read at the same position or out of order"
    if positions and not 0 <= positions[0] <= positions[-1] < length:
        return f"a position outside of {length} tokens"
    return None


def truncation(subject: Subject) -> list[Finding]:
    """A trace longer than the context: every step scored, or an error that says which are not."""
    long, huge = _long(subject)
    short = with_steps(subject.problem, long.step_texts[:8])
    j, h, s = subject.ask([long, huge, short])
    named = {"a long trace": (long, j), "one huge step": (huge, h)}
    wrong = {kind: why for kind, (trace, given) in named.items() if (why := mismatch(trace, given))}
    dropped = _unexplained(subject, [j, h])
    if dropped:
        wrong["steps without score and without error"] = str(dropped)
    given = sum(v is not None for v in j.scores or ())
    evidence = {"steps": len(long.steps), "scored": given, "context": subject.context, "flags": list(j.flags)}
    if wrong:
        shown = "; ".join(f"{kind}: {why}" for kind, why in wrong.items())
        return [Finding("truncation", Outcome.FAIL, f"steps are lost in silence: {shown}.", {**evidence, **wrong},
                        "Read long traces through windows, or give a too-long error.")]  # fmt: skip
    how = f"{given} of {len(long.steps)} steps scored"
    how += f", error {j.error.kind!r}" if j.error else ""
    how += f", {', '.join(j.flags)}" if j.flags else ""
    limit = "an unknown context" if subject.context is None else f"a context of {subject.context:,} tokens"
    head = abs_difference(j.scores, s.scores, subject)
    if head > subject.tolerance and not s.error:
        what = f"{how} under {limit}, but the first 8 scores are up to {head:.2g} off those of the same steps alone."
        return [Finding("truncation", Outcome.WARN, what, evidence, "Look for truncation on the left.")]
    return [
        Finding("truncation", Outcome.PASS, f"{how} under {limit}; nothing is lost in silence.", evidence)
    ]


def abs_difference(
    one: Sequence[float | None] | None, other: Sequence[float | None] | None, subject: Subject
) -> float:
    """Over the steps both have; 0 for an outcome model, which reads the whole."""
    if one is None or other is None or subject.outcome:
        return 0.0
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    return max((abs(a - b) for a, b in pairs), default=0.0)


def _unexplained(subject: Subject, judgements: Sequence[Any]) -> int:
    if subject.outcome:
        return 0
    return sum(s is None for j in judgements if j.error is None for s in j.scores or ())


def _length(subject: Subject) -> int:
    """Tokens to exceed."""
    known = subject.context
    return CONTEXT if known is None or known > LONG_TOKENS else known


def _long(subject: Subject) -> tuple[Trace, Trace]:
    """A trace of many steps and one of a huge step, both longer than the context."""
    lines = [
        " ".join(f"{i}+{k}={i + k}" for k in range(SUMS)) + "\n"
        for i in range(max(16, _length(subject) // ((TYPICAL if subject.context is None else 3) * SUMS)))
    ]
    huge = ["1+1=2\n", "7 " * _length(subject) + "\n", "2+2=4\n"]
    return with_steps(subject.problem, lines), with_steps(subject.problem, huge)
