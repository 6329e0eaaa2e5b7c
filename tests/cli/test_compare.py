"""`preceptor compare`: cells, paired differences, costs, frontiers, and the page and chart of them.

Run: python -m pytest tests/cli/test_compare.py
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from preceptor.bench.compare import Cell, Comparison, compare
from preceptor.bench.flops import (
    Shape,
    attention_flops,
    dense_flops,
    policy_flops,
    scorer_flops,
    shape_of,
)
from preceptor.bench.statistics import Estimate, paired_bootstrap, wilson
from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.search import BestOfN, Majority, Node, StepBeam, Tree, solve
from preceptor.trace import Problem
from preceptor.usage import Budget, Usage
from tests.cli.solving_server import free_port, running
from tests.search.toy import Oracle, TreePolicy, problems

# Floating point operations


def test_the_published_worked_case_comes_to_its_figures_without_their_slip_of_a_thousand():
    beams, expand, steps, context, step = 3, 5, 30, 3000, 300
    written = beams * context + beams * expand * step
    read = beams * expand * (context + step + 200)
    assert (written, read) == (13_500, 52_500)
    assert dense_flops(8e9, steps * written) == pytest.approx(6.48e15, rel=1e-12)
    assert dense_flops(7e9, steps * read) == pytest.approx(2.205e16, rel=1e-12)
    assert read / (beams * expand * step) == pytest.approx(12, rel=0.03), "what keeping prefixes would save"


def test_attention_is_what_every_token_pays_for_those_before_it():
    layers, width = 3, 8
    for start, end in ((0, 1), (0, 17), (5, 6), (5, 40), (9, 9)):
        by_token = sum(4 * layers * width * at for at in range(start + 1, end + 1))
        assert attention_flops(layers, width, start, end) == by_token


def test_a_tree_costs_what_its_calls_executed():
    tree = Tree(Problem("p"))
    rate, shape = 2.0 * 1000, Shape(2, 10)
    tree.nodes += [
        Node(1, 0, usage=Usage(generated=5, prefilled=20, calls=1, flops=25 * rate)),
        Node(2, 1, usage=Usage(generated=4, prefilled=1, reused=24, calls=1, flops=5 * rate)),
        Node(3, 1, usage=Usage(generated=4, calls=1, flops=9e9), by="critic"),
    ]
    tree.nodes[1].judged = Usage(scored=30, calls=1, flops=30 * 7.0)
    tree.nodes[2].judged = Usage(scored=6, reused=30, calls=1, flops=6 * 7.0)
    attention = attention_flops(2, 10, 0, 25) + attention_flops(2, 10, 24, 29)
    assert policy_flops(tree, shape) == 30 * rate + 9e9 + attention
    assert policy_flops(tree, None) == 30 * rate + 9e9
    assert scorer_flops(tree, shape) == 36 * 7.0 + attention_flops(2, 10, 0, 36)
    tree.nodes[2].usage = replace(tree.nodes[2].usage, flops=0.0)
    assert policy_flops(tree, shape) is None, "what nobody counted is not zero"
    assert scorer_flops(Tree(Problem("p")), None) == 0.0


def test_flops_of_a_real_model_are_those_of_its_parameters_and_its_shape(tiny_policy_dir):
    from preceptor.policy import load_policy

    policy = load_policy(str(tiny_policy_dir))
    shape = shape_of(policy)
    assert shape == Shape(2, 32)
    solved = solve(
        policy, [Problem("1+1?", "2", id="a")], Majority(1, sampling=Sampling(max_tokens=6))
    ).solutions[0]
    usage = solved.tree.nodes[1].usage
    tokens = usage.prefilled + usage.generated
    assert usage.prefilled == len(policy.prefix(Request(solved.problem)))
    tables = {"model.embed_tokens.weight", "lm_head.weight"}
    parameters = sum(p.numel() for name, p in policy.model.named_parameters() if name not in tables)
    wanted = dense_flops(parameters, tokens) + attention_flops(2, 32, 0, tokens)
    assert policy_flops(solved.tree, shape) == wanted


# Cells


STRATEGIES = {"majority": Majority(3), "bon": BestOfN(3), "beam:keep=2": StepBeam(2, 2)}
BUDGETS = {"tokens=40": Budget(tokens=40), "none": None}


def compared(out, policy=None, n=24, **other) -> Comparison:
    settings = {"strategies": STRATEGIES, "budgets": BUDGETS, "scorer": Oracle(), "chunk": 9, **other}
    return compare(out, policy or TreePolicy(), problems(n), **settings)


def test_a_cell_has_the_figures_of_its_run_and_its_paired_difference_to_the_first(tmp_path):
    found = compared(tmp_path)
    assert [(c.budget, c.strategy) for c in found.cells] == [(b, s) for b in BUDGETS for s in STRATEGIES]
    for budget, limit in BUDGETS.items():
        own = [c for c in found.cells if c.budget == budget]
        first = solve(TreePolicy(), problems(24), Majority(3), Oracle(), limit)
        truth = [float(s.grade.correct) for s in first.solutions]
        assert own[0].over_first is None
        for cell, strategy in zip(own, STRATEGIES.values(), strict=True):
            result = solve(TreePolicy(), problems(24), strategy, Oracle(), limit)
            right = [s.grade.correct for s in result.solutions]
            assert cell.outcomes == tuple(right)
            assert cell.accuracy == wilson(sum(right), 24)
            assert cell.tokens == result.tokens
            assert cell.scored == result.ledger.scorer.scored / 24
            assert cell.finished == sum(s.finished for s in result.solutions)
            assert cell.asked == 24 * strategy.asked
            if cell is not own[0]:
                assert cell.over_first == paired_bootstrap([float(r) for r in right], truth)
    best = [b.strategy for b in found.best()]
    assert best[1] == "bon" or best[1] == "beam:keep=2", "exact values beat the majority"


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path):
    class Stopped(TreePolicy):
        def generate(self, requests):
            if len(self.sent) == 9:
                raise KeyboardInterrupt
            return super().generate(requests)

    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path / "a", Stopped())
    policy = TreePolicy()
    second = compared(tmp_path / "a", policy)
    whole_policy = TreePolicy()
    whole = compared(tmp_path / "b", whole_policy)
    assert 0 < len(policy.sent) < len(whole_policy.sent)
    timeless = [{**c.to_record(), "seconds": 0} for c in second.cells]
    assert timeless == [{**c.to_record(), "seconds": 0} for c in whole.cells]
    again = TreePolicy()
    compared(tmp_path / "a", again)
    assert again.sent == []


def test_undecided_problems_are_left_out_of_both_sides_of_a_difference(tmp_path):
    policy = TreePolicy(fails=lambda r: r.problem.id == "toy3")
    found = compared(tmp_path, policy, n=6)
    for cell in found.cells:
        assert cell.outcomes[3] is None
        assert (cell.accuracy.n, cell.failed) == (5, 1)
        assert cell.over_first is None or cell.over_first.n == 5
        assert cell.to_record()["undecided"] == 1


def cell(strategy: str, tokens: float, right: int, flops: float | None = 1.0, budget: str = "b") -> Cell:
    outcomes = tuple(i < right for i in range(20))
    rate = wilson(right, 20)
    return Cell(
        strategy, budget, strategy, rate, None, outcomes, tokens, 0.0, flops, 0.0, 0.1, 1, 20, 20, 0, {}
    )


def test_a_frontier_holds_the_cells_that_nobody_beats_for_as_much():
    a, b, c, d, e = cell("a", 10, 5), cell("b", 20, 5), cell("c", 30, 9), cell("d", 30, 12), cell("e", 90, 11)
    assert Comparison((e, d, c, b, a)).frontier("tokens") == [a, d]
    randoms = random.Random(0)
    for _ in range(200):
        cells = tuple(cell(str(i), randoms.randrange(6), randoms.randrange(8)) for i in range(9))
        kept = Comparison(cells).frontier("tokens")
        for x in cells:
            beaten = any(
                y.tokens <= x.tokens and y.accuracy.value >= x.accuracy.value
                and (y.tokens, y.accuracy.value) != (x.tokens, x.accuracy.value)
                for y in cells
            )  # fmt: skip
            same = any((k.tokens, k.accuracy.value) == (x.tokens, x.accuracy.value) for k in kept)
            assert same is not beaten


def test_a_cost_that_is_not_known_has_no_place_on_a_frontier():
    a, b = cell("a", 10, 5, flops=None), cell("b", 20, 4, flops=7.0)
    assert Comparison((a, b)).frontier("flops") == [b]
    assert a.to_record()["flops"] is None


def test_the_best_is_also_chosen_on_one_half_and_measured_on_the_other():
    even = replace(cell("even", 10, 0), outcomes=tuple(i % 2 == 0 for i in range(20)))
    odd = replace(cell("odd", 10, 0), outcomes=tuple(i % 2 == 1 or i < 4 for i in range(20)))
    (best,) = Comparison((odd, even)).best()
    assert best.strategy == "odd"
    assert (best.half, best.half_accuracy.value) == ("even", 0.0)


@pytest.mark.parametrize(
    "other, said",
    [
        ({"strategies": {}}, "expected some"),
        ({"strategies": {"a b": Majority(1), "a-b": Majority(2)}}, "differ in letters"),
        ({"strategies": {"bon": BestOfN(2)}, "scorer": None}, "no scorer"),
        ({"strategies": {"m": Majority(None)}}, "until the budget is spent"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, said, tmp_path):
    with pytest.raises(InputError, match=said):
        compared(tmp_path, **other)


def test_nothing_is_run_where_a_later_strategy_cannot_be(tmp_path):
    for strategies in ({"m": Majority(2), "bon": BestOfN(2)}, {"m": Majority(2), "all": Majority(None)}):
        with pytest.raises(InputError):
            compared(tmp_path / "o", strategies=strategies, scorer=None, budgets={"none": None})
    assert not (tmp_path / "o").exists()


# The command line

WORDS = ["compare", "--strategy", "majority", "--strategy", "step-beam:keep=2,expand=2,max_tokens=30",
         "--budget", "tokens=40", "--budget", "tokens=120", "--scorer", "world:arithmetic",
         "--problems", "world:arithmetic", "--n", "6"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished comparison: its directory, the words that made it, and a server that is gone."""
    out = tmp_path_factory.mktemp("compare")
    with running(free_port()) as url:
        words = [*WORDS, "--policy", f"openai:{url}#m", "--out", str(out)]
        assert main(words) == 0
    return out, words


def test_the_table_says_it_all_and_json_is_one_object(run, capsys):
    out, words = run
    capsys.readouterr()
    assert main(words) == 0, "a finished comparison asks nobody"
    text = capsys.readouterr().out
    head, _, *rows = text.splitlines()
    assert head.split()[:5] == ["strategy", "budget", "accuracy", "over", "majority"]
    assert [r.split()[0] for r in rows[:4]] == ["majority", "step-beam:keep=2,expand=2,max_tokens=30"] * 2
    assert "frontier against tokens: " in text
    assert "frontier against FLOPs: not known" in text
    assert "best at tokens=40: " in text
    assert main([*words, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert len(record["cells"]) == 4
    assert record["cells"][0]["flops"] is None
    assert record["cells"][1]["over_first"]["n"] == 6
    saved = json.loads((out / "compare.json").read_text())
    assert saved == {k: v for k, v in record.items() if k not in ("out", "report")}
    assert sorted(p.name for p in (out / "cells").iterdir()) == [
        "majority", "step-beam-keep-2-expand-2-max-tokens-30"]  # fmt: skip


def test_the_chart_is_a_file_of_its_own(run):
    svg = (run[0] / "compare.svg").read_text()
    root = ElementTree.fromstring(svg)
    texts = {"".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"majority", "step-beam: keep=2, expand=2, max_tokens=30", "accuracy"} <= texts
    assert "--c0:" in svg
    assert "<script" not in svg
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(v.startswith("#") for v in links)


def test_the_page_can_be_drawn_again(run, capsys):
    page = run[0] / "compare.html"
    before = page.read_bytes()
    page.unlink()
    assert main(["view", str(run[0])]) == 0
    assert page.read_bytes() == before
    assert b"max_tokens=30" in before
    capsys.readouterr()


def test_the_page_is_written_where_it_is_asked_for(run, tmp_path, capsys):
    other = tmp_path / "other.html"
    assert main(["view", str(run[0]), "--out", str(other)]) == 0
    assert capsys.readouterr().out.strip() == str(other)
    assert other.read_bytes() == (run[0] / "compare.html").read_bytes()
    assert main(["view", str(run[0]), "--out", str(tmp_path)]) == 2
    assert f"got the directory {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--strategy", "majority", "--strategy", "majority"], "'majority' twice"),
        (["--strategy", "majority:keep=2"], "--strategy majority: majority has no setting 'keep'"),
        (["--strategy", "majority", "--budget", "tokens=9", "--budget", "tokens=9"], "expected each once"),
        (["--strategy", "majority", "--budget", "coins=9"], "coins"),
        (["--strategy", "best-of-n:n=2"], "scorer"),
        (["--strategy", "majority:n=2", "--helper", "x=y"], "nobody is asked"),
    ],
)
def test_words_that_cannot_be_used_are_status_2(words, said, tmp_path, capsys):
    base = [
        "compare",
        "--policy",
        "openai:http://127.0.0.1:9/v1#m",
        "--problems",
        "world:arithmetic",
        "--n",
        "1",
    ]
    assert main([*base, *words, "--out", str(tmp_path / "o")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_estimates_are_undefined_where_nothing_was_decided(tmp_path):
    found = compared(tmp_path, TreePolicy(fails=lambda r: True), n=2)
    assert found.cells[0].accuracy == Estimate(None, None, None, 0)
    assert found.frontier("tokens") == []
