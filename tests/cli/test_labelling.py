"""`preceptor label` runs every method that the command line can build, and `preceptor methods` lists them all.

Run: python -m pytest tests/cli/test_labelling.py
"""

from __future__ import annotations

import json
import shutil

import pytest

from preceptor.annotate import ANNOTATORS
from preceptor.cli import main
from preceptor.store import Store
from tests.policy.http_server import serving

POLICY = ["--policy", "world:arithmetic"]
ROLLS_OUT = [
    "first-error-search", "grounded", "math-shepherd", "mcts-relative", "omega-bisection", "omegaprm",
    "prover-advantage", "relative-progress", "scan", "sorm", "stop-at-zero", "unprm",
]  # fmt: skip
JUDGES = ["critique", "natural-program", "opv", "rubric", "spare", "spark", "step-judge"]
ASKS_NOBODY = [
    "calculator-notes", "code-mutation", "fover", "freeprm", "outcome-copy", "prlcoder", "step-confidence",
    "turn-oracle", "world-oracle",
]  # fmt: skip
ELSEWHERE = {"code-mutation": "", "fover": "", "prlcoder": "", "turn-oracle": ""}
"""Methods for other worlds than arithmetic: each trace fails, with a reason."""
OF_OTHERS = ["active-judge", "consensus", "dyve", "weak-supervision"]
QUICK = {"omegaprm": ["searches=2", "filter=2"], "mcts-relative": ["simulations=4"], "scan": ["samples=4"]}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Two attempts each at three problems of the arithmetic world."""
    store = tmp_path_factory.mktemp("labelling") / "run.db"
    words = ["--problems", "world:arithmetic", "--n", "3", "--samples", "2", "--store", str(store)]
    assert main(["sample", *POLICY, *words]) == 0
    return store


@pytest.fixture
def store(sampled, tmp_path):
    """A copy of it, without labels."""
    return str(shutil.copy(sampled, tmp_path / "run.db"))


@pytest.fixture(scope="module")
def judge():
    """A model behind a server that finds no error in anything, in the words of every judge at once."""
    text = "Step by step it is right. yes\n\\boxed{-1}"
    with serving(lambda call: call.answer(chat(text) if "chat" in call.path else said(text))) as server:
        yield f"openai:{server.url}#judge"


def chat(text):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


def said(text):
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


def words(method, store, *more):
    return [
        "label",
        "--method",
        method,
        "--problems",
        "world:arithmetic",
        "--n",
        "3",
        "--store",
        store,
        *more,
    ]


def labelled(capsys, method, store, *more):
    """The one JSON object that the verb prints, after checks that hold for every method."""
    capsys.readouterr()
    assert main(words(method, store, *more, "--json")) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.strip().splitlines()
    result = json.loads(line)
    assert result["traces"] == 6 == result["labelled"] + result["failed"]
    assert result["failed"] == sum(result["errors"].values())
    assert result["source"].startswith(method.rpartition(":")[2] + "@") or ":" in method
    with Store(store) as kept:
        judged = list(kept.judgements(result["source"]))
        assert len(judged) == 6
        assert {j.question.value for j in judged} == {result["question"]}
        assert sum(s is not None for j in judged for s in j.scores or ()) == result["step_labels"]
    return result


def refused(capsys, arguments):
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def test_every_method_is_tried_below():
    assert sorted([*ROLLS_OUT, *JUDGES, *ASKS_NOBODY, *OF_OTHERS, "edu-prm"]) == sorted(ANNOTATORS)


@pytest.mark.parametrize("method", ROLLS_OUT)
def test_methods_that_roll_out(method, store, capsys):
    quick = [word for o in QUICK.get(method, []) for word in ("--option", o)]
    result = labelled(capsys, method, store, *POLICY, "--rollouts", "2", *quick)
    assert result["calls"] > 0 or method in ("first-error-search", "scan")
    assert result["judge_tokens"] == 0


def test_trees_that_branch_inside_a_step(store, capsys):
    result = labelled(capsys, "edu-prm", store, *POLICY, "--option", "leaves=2")
    assert (result["labelled"], result["question"]) == (6, "value")


@pytest.mark.parametrize("method", ASKS_NOBODY)
def test_methods_that_ask_nobody_cost_nothing(method, store, capsys):
    result = labelled(capsys, method, store)
    assert result["generated_tokens"] + result["judge_tokens"] + result["scored_tokens"] == 0
    assert result["labelled"] == (0 if method in ELSEWHERE else 6)


@pytest.mark.parametrize("method", JUDGES)
def test_judges_behind_a_server(method, store, judge, capsys):
    setting = {"critique": "votes", "opv": "runs", "spark": "verifications"}.get(method)
    more = ["--option", f"{setting}=2"] if setting else []
    result = labelled(capsys, method, store, "--policy", judge, *more)
    assert result["judge_tokens"] > 0
    if method == "critique":
        assert (result["labelled"], result["with_error"]) == (6, 0)


def test_a_judge_without_a_chat_template_is_asked_in_plain_text(store, capsys):
    assert "chat template" in refused(capsys, words("step-judge", store, *POLICY))
    result = labelled(capsys, "step-judge", store, *POLICY, "--option", "chat=false")
    assert result["labelled"] == 6
    of = ["--of", "step-judge", "--of", "math-shepherd", "--option", "chat=false", "--rollouts", "2"]
    assert labelled(capsys, "weak-supervision", store, *POLICY, *of)["labelled"] == 6


def test_methods_made_of_others(store, judge, capsys):
    oracles = ["--of", "world-oracle", "--of", "world-oracle"]
    truth = labelled(capsys, "world-oracle", store)
    agreed = labelled(capsys, "consensus", store, *oracles)
    assert (agreed["labelled"], agreed["with_error"]) == (6, truth["with_error"])
    both = labelled(capsys, "weak-supervision", store, "--of", "world-oracle", "--of", "outcome-copy")
    assert (both["labelled"], both["step_labels"]) == (6, truth["step_labels"])
    asked = labelled(capsys, "active-judge", store, "--of", "step-confidence", "--of", "world-oracle")
    assert asked["errors"].get("trusted", 0) == asked["failed"]
    assert asked["question"] == "validity"
    dyve = labelled(capsys, "dyve", store, "--policy", judge, *oracles)
    assert dyve["judge_tokens"] > 0


def test_a_second_method_on_the_same_store_shows_what_it_saved(store, capsys):
    roll = [*POLICY, "--rollouts", "2"]
    first = labelled(capsys, "math-shepherd", store, *roll)
    assert (first["stored_tokens"], first["saved"]) == (0, 0.0)
    for method in ("stop-at-zero", "omega-bisection"):
        second = labelled(capsys, method, store, *roll)
        assert (second["generated_tokens"], second["saved"]) == (0, 1.0)
        assert 0 < second["stored_tokens"] <= first["generated_tokens"]
    more = labelled(capsys, "sorm", store, *POLICY, "--rollouts", "3")
    assert 0 < more["generated_tokens"] < first["generated_tokens"]
    assert 0 < more["saved"] < 1
    soft = labelled(capsys, "math-shepherd", store, *roll, "--option", "target=soft")
    assert soft["saved"] == 1.0
    assert soft["source"] != first["source"]
    again = labelled(capsys, "math-shepherd", store, *roll)
    assert (again["generated_tokens"], again["saved"], again["labelled"]) == (0, None, 6)
    capsys.readouterr()
    assert main(words("sorm", store, *roll)) == 0
    assert "tokens of rollouts from the store: 100% of the work was there" in capsys.readouterr().out


def test_two_processes_label_as_one(sampled, store, tmp_path, capsys):
    twin = str(shutil.copy(sampled, tmp_path / "twin.db"))
    one = labelled(capsys, "math-shepherd", store, *POLICY, "--rollouts", "2")
    two = labelled(capsys, "math-shepherd", twin, *POLICY, "--rollouts", "2", "--workers", "2")
    same = ("source", "labelled", "step_labels", "with_error", "calls", "generated_tokens")
    assert [two[k] for k in same] == [one[k] for k in same]
    said = refused(capsys, words("first-error-search", twin, *POLICY, "--workers", "2"))
    assert "all traces together" in said


OWN = """
from dataclasses import dataclass
from preceptor.judgement import Judgement, Question, Source

class Short:
    "A scorer that is no dataclass: short steps are good."
    question = Question.QUALITY
    def __init__(self, most: int = 10):
        self.most, self.source = most, Source.of("short", most=most)
    def score(self, traces):
        return [
            Judgement(t.id, self.question, self.source, tuple(float(len(s) <= self.most) for s in t.step_texts))
            for t in traces
        ]
"""


def test_a_method_of_ones_own_by_its_import_path(store, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_short_steps.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    result = labelled(capsys, "my_short_steps:Short", store)
    longer = labelled(capsys, "my_short_steps:Short", store, "--option", "most=99")
    assert (result["labelled"], result["question"]) == (6, "quality")
    assert longer["source"] != result["source"]
    assert "no setting ['least']" in refused(
        capsys, words("my_short_steps:Short", store, "--option", "least=1")
    )
    assert "cannot be imported" in refused(capsys, words("my_short_steps:Long", store))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["math-shepherd", *POLICY, "--option", "colour=red"], "no setting ['colour']; it has ['rollouts', 'seed'"),
        (["math-shepherd", *POLICY, "--option", "target=softish"], "expected 'hard' or 'soft'"),
        (["math-shepherd", *POLICY, "--option", "store=x"], "no setting ['store']"),
        (["unprm", *POLICY, "--option", "adaptive=maybe"], "expected a number, true or false"),
        (["first-error-search", *POLICY, "--option", "budget=many"], "expected a number"),
        (["math-shepherd", *POLICY, "--option", "target"], "expected NAME=VALUE"),
        (["math-shepherd"], "--policy"),
        (["step-judge"], "--policy"),
        (["guess", *POLICY], "expected one of ['active-judge'"),
        (["no_such_module:Mine"], "cannot be imported"),
        (["world-oracle", "--rollouts", "2"], "no setting ['rollouts']"),
        (["weak-supervision"], "--of: weak-supervision is made of two methods or more and got 0"),
        (["weak-supervision", "--of", "world-oracle"], "got 1"),
        (["consensus", *["--of", "world-oracle"] * 3], "made of two methods and got 3"),
        (["consensus", "--of", "world-oracle", "--of", "math-shepherd"], "--policy"),
        (["math-shepherd", *POLICY, "--of", "world-oracle"], "not made of other methods"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_with_what_to_do(arguments, said, store, capsys):
    assert said in refused(capsys, words(arguments[0], store, *arguments[1:]))
    with Store(store) as kept:
        assert list(kept.judgements()) == []


def test_code_without_a_seal_runs_only_when_that_is_asked_for(store, capsys):
    from preceptor.cli.labelling import built

    sealed = built("code-mutation", None, {"seed": 0}, (), None)
    open_ = built("code-mutation", None, {"seed": 0, "unsafe_code": True}, (), None)
    assert (sealed.sandbox.unsafe, open_.sandbox.unsafe) == (False, True)
    assert sealed.source != open_.source
    assert "runs no programs" in refused(capsys, words("math-shepherd", store, *POLICY, "--unsafe-code"))


def test_a_broken_store_file_is_refused(tmp_path, capsys):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database" * 100)
    assert "broken.db" in refused(capsys, words("world-oracle", str(broken)))
    assert broken.read_bytes().startswith(b"this is no database")


def test_the_list_has_every_method_with_its_question_and_its_cost(capsys):
    capsys.readouterr()
    assert main(["methods", "--json"]) == 0
    (line,) = capsys.readouterr().out.strip().splitlines()
    rows = {row["method"]: row for row in json.loads(line)["methods"]}
    assert list(rows) == sorted(ANNOTATORS)
    assert {r["question"] for r in rows.values()} == {
        "validity",
        "value",
        "progress",
        "quality",
        "as its parts",
    }
    assert all(r["cost"] for r in rows.values())
    asks = {name for name, row in rows.items() if row["needs_policy"]}
    assert asks == {*ROLLS_OUT, *JUDGES, "edu-prm", "dyve"}
    shares = {name for name, row in rows.items() if row["shares_rollouts"]}
    assert shares == {*ROLLS_OUT, "edu-prm"}
    assert main(["methods"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == len(rows) + 1
    assert any(line.startswith("math-shepherd") and "K (T - 1) rollouts" in line for line in table)
