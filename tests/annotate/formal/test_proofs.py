"""Specifies the run protocol of a proof assistant, with a small real prover: z3 over FoVer's notation.

Run: python -m pytest tests/annotate/formal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from preceptor.annotate.formal import FoVer, Method, Run, entails, parse, proof_labels
from preceptor.annotate.formal.logic import LogicError
from preceptor.annotate.formal.steps import read_inference
from preceptor.errors import InputError
from tests.annotate.formal.proofs import proofs, small, trace_of

HYPOTHESIS = "{H}"
FACTS = {"fact1": "{A}", "fact2": "{A} -> {B}"}


@dataclass
class TinyProver:
    """Checks a whole proof: syntax of every step, and truth of the steps that are not admitted."""

    facts: dict[str, str] = field(default_factory=lambda: FACTS)
    hypothesis: str = HYPOTHESIS
    crashes: int = 0
    """How many of the next runs break."""
    runs: list[tuple[Method, ...]] = field(default_factory=list)

    def run(self, proof: Sequence[str], methods: Sequence[Method]) -> Run:
        self.runs.append(tuple(methods))
        if self.crashes:
            self.crashes -= 1
            return Run.CRASHED
        stated = {name: parse(text) for name, text in self.facts.items()}
        for text, method in zip(proof, methods, strict=True):
            try:
                step = read_inference(text, parse(self.hypothesis))
                premises = [stated[name] for name in step.premises]
            except (LogicError, KeyError):
                return Run.FAILED
            if method is Method.SLEDGEHAMMER and not entails(premises, step.conclusion):
                return Run.FAILED
            stated[step.name or ""] = step.conclusion
        return Run.PASSED


GOOD = ["fact1 & fact2 -> int1: {B}", "int1 -> int2: ({B} v {C})"]
MIXED = [
    "fact1 -> int1: {B}",
    "int1 -> int2: ({B} v {C})",
    "int2 -> int3: {C}",
    "int1 & int3 -> int4: ({B} & {C})",
]


def test_two_runs_label_a_right_proof():
    prover = TinyProver()
    found = proof_labels(prover, GOOD)
    assert (found.labels, found.runs) == ((1.0, 1.0), 2)
    assert prover.runs == [(Method.SORRY,) * 2, (Method.SLEDGEHAMMER,) * 2]


def test_a_wrong_proof_costs_t_plus_two_runs_and_its_labels_are_local():
    prover = TinyProver()
    found = proof_labels(prover, MIXED)
    assert (found.labels, found.runs) == ((0.0, 1.0, 0.0, 1.0), 6)
    for t, methods in enumerate(prover.runs[2:]):
        assert methods == tuple(Method.SLEDGEHAMMER if i == t else Method.SORRY for i in range(4))


@pytest.mark.parametrize("bad", ["fact1 -> int2: {B", "nonsense", "fact9 -> int2: {A}"])
def test_a_proof_that_fails_when_admitted_is_dropped_after_one_run(bad):
    found = proof_labels(TinyProver(), [GOOD[0], bad])
    assert (found.labels, found.runs) == (None, 1)
    assert found.error.kind == "syntax"


def test_a_crash_is_tried_again_and_then_drops_the_trace():
    found = proof_labels(TinyProver(crashes=10), GOOD)
    assert (found.labels, found.runs) == ((1.0, 1.0), 12)
    dropped = proof_labels(TinyProver(crashes=11), GOOD)
    assert (dropped.labels, dropped.runs, dropped.error.kind) == (None, 11, "crash")
    assert proof_labels(TinyProver(crashes=1), GOOD, retries=0).labels is None


def test_an_empty_proof_is_refused():
    with pytest.raises(InputError, match="0 steps"):
        proof_labels(TinyProver(), [])


def test_whole_runs_give_the_labels_that_single_questions_give():
    """Two roads to the same labels, over generated and corrupted proofs without their final line."""
    shapes = set()
    for trace in proofs(40, seed=1):
        meta = trace.problem.meta
        facts = dict(line.split(": ", 1) for line in meta["facts_formula"].split("\n"))
        lines = [text.strip() for text in trace.step_texts[:-1]]
        found = proof_labels(TinyProver(facts, meta["hypothesis_formula"]), lines)
        (judgement,) = FoVer().score([trace_of(trace.problem, lines)])
        assert found.labels == judgement.scores
        assert found.runs == (2 if all(found.labels) else len(lines) + 2)
        shapes.add(found.labels)
    assert len(shapes) > 5


def test_the_tiny_prover_and_fover_read_the_same_hypothesis():
    problem = small(["{H}"], HYPOTHESIS)
    assert proof_labels(TinyProver({"fact1": "{H}"}), ["fact1 -> hypothesis"]).labels == (1.0,)
    assert FoVer().score([trace_of(problem, ["fact1 -> hypothesis"])])[0].scores == (1.0,)
