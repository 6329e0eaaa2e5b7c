"""`preceptor solve`: settings of every strategy by --set, helpers, and what is refused.

Run: python -m pytest tests/cli/test_solve.py
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field, fields
from typing import ClassVar

import pytest

from preceptor.cli import main
from preceptor.cli.options import scorer_of
from preceptor.cli.strategies import parsed, settings_of, strategy_of
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search import (
    STRATEGIES,
    Ask,
    BestOfN,
    Greedy,
    Majority,
    Search,
    StepBeam,
    Strategy,
    solve,
    strategy,
)
from preceptor.search.refine import VisibleTests
from tests.cli.solving_server import free_port, running
from tests.search.toy import TreePolicy, problems

WORLD = ["--policy", "world:arithmetic", "--problems", "world:arithmetic"]


@dataclass(frozen=True)
class Everything(Strategy):
    """A field of every kind."""

    helpers: ClassVar[tuple[str, ...]] = ("critic",)
    whole: int = 1
    part: float = 0.5
    either: int | float = 1
    gate: float | None = None
    yes: bool = True
    word: str = "a"
    few: tuple[float, ...] = (1.0,)
    words: tuple[str, ...] = ()
    table: dict[str, float] | None = None
    answer: Sampling = field(default_factory=Sampling)
    sampling: Sampling = field(default_factory=Sampling)
    temperature: float = 7.0

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            return [Ask(search.tree.root, 1, self.sampling, role="solution")]
        return [Ask(search.tree[1], 1, self.answer, role="note", by="critic")] if search.round == 1 else []

    def choose(self, search: Search):
        return next((n for n in search.done if n.role == "solution"), None)


EVERYTHING = f"{__name__}:Everything"


def made(*words: str) -> Everything:
    found = strategy_of(EVERYTHING, settings_of(words))
    assert isinstance(found, Strategy)
    return found


@pytest.mark.parametrize(
    "word, name, value",
    [
        ("whole=3", "whole", 3),
        ("part=2", "part", 2.0),
        ("part=inf", "part", float("inf")),
        ("either=2", "either", 2),
        ("either=2.5", "either", 2.5),
        ("gate=0.25", "gate", 0.25),
        ("gate=none", "gate", None),
        ("yes=false", "yes", False),
        ("word=true", "word", "true"),
        ("word=3", "word", "3"),
        ("word=none", "word", "none"),
        ("word=a=b,c", "word", "a=b,c"),
        ('word="a\\nb"', "word", "a\nb"),
        ("few=1,2.5", "few", (1.0, 2.5)),
        ("few=[0.5]", "few", (0.5,)),
        ('words=["\\n\\n", "x"]', "words", ("\n\n", "x")),
        ("table=none", "table", None),
        ("temperature=2", "temperature", 2.0),
        ("max_tokens=9", "sampling", Sampling(max_tokens=9)),
        ("sampling.temperature=0.5", "sampling", Sampling(temperature=0.5)),
        ("answer.top_k=4", "answer", Sampling(top_k=4)),
    ],
)
def test_a_value_is_read_as_its_field_is_declared(word, name, value):
    found = getattr(made(word), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word, said",
    [
        ("whole=2.5", "--set whole: got '2.5', expected a whole number"),
        ("whole=none", "expected a whole number"),
        ("part=much", "expected a number"),
        ("part=nan", "expected a number"),
        ("gate=often", "expected a number or none"),
        ("yes=1", "expected true or false"),
        ("few=1,x", "--set few: got 'x', expected a number"),
        ("table=x", "set in Python"),
        ("wide=3", "has no setting 'wide'; it has \\['answer', 'either'"),
        ("answer.wide=3", "has no setting 'answer.wide'"),
        ("word.top_k=3", "has no setting"),
        ("helpers=x", "has no setting 'helpers'"),
        ("max_tokens=0", "max_tokens >= 1"),
        ("whole", "expected NAME=VALUE"),
        ("=3", "expected NAME=VALUE"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(word, said):
    with pytest.raises(InputError, match=said):
        made(word)


def test_a_setting_given_twice_is_refused():
    with pytest.raises(InputError, match="'whole' twice"):
        made("whole=1", "whole=2")


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_plain_setting_of_every_strategy_can_be_given(name):
    kind = strategy(name)
    plain = {f.name: f.default for f in fields(kind) if isinstance(f.default, int | float | str)}
    needed = [f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if needed:
        with pytest.raises(InputError, match="is set in Python"):
            strategy_of(name, {})
        return
    words = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in plain.items()}
    words = {k: v for k, v in words.items() if "\n" not in v}
    given = strategy_of(name, words)
    assert given == kind()
    assert {k: type(getattr(given, k)) for k in words} == {k: type(plain[k]) for k in words}
    shorter = strategy_of(name, {**words, "max_tokens": "7"})
    assert shorter.sampling.max_tokens == 7
    same = {"sampling.temperature": str(given.sampling.temperature)}
    assert strategy_of(name, {**words, **same}).sampling == given.sampling


def test_without_n_samples_are_drawn_until_the_budget_is_spent():
    assert strategy_of("majority", {}) == Majority(None)
    assert strategy_of("best-of-n", {"n": "3", "aggregate": "window:3:min"}) == BestOfN(3, "window:3:min")
    assert strategy_of("greedy", {}) == Greedy()


@pytest.mark.parametrize(
    "word, name, settings",
    [
        ("greedy", "greedy", {}),
        ("step-beam:keep=2", "step-beam", {"keep": "2"}),
        ("step-beam:keep=2,aggregate=window:3:min", "step-beam", {"keep": "2", "aggregate": "window:3:min"}),
        ("mine:Beam:few=1,2,keep=3", "mine:Beam", {"few": "1,2", "keep": "3"}),
        ("a.b:C", "a.b:C", {}),
    ],
)
def test_a_strategy_and_its_settings_in_one_word(word, name, settings):
    assert parsed(word) == (name, settings)


def run(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main(["solve", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_settings_reach_the_search_and_old_options_still_work(tmp_path, capsys):
    beam = ["--strategy", "step-beam", "--keep", "2", "--aggregate", "min", "--scorer", "world:arithmetic"]
    data = ["--problems", "world:arithmetic", "--n", "3", "--budget", "tokens=300"]
    with running(free_port()) as url:
        words = [*beam, *data, "--policy", f"openai:{url}#m", "--set", "max_tokens=9", "--set", "expand=3"]
        found = run(capsys, *words, "--out", str(tmp_path / "a"))
    wanted = StepBeam(2, 3, "min", sampling=Sampling(temperature=0.8, max_tokens=9))
    assert found["strategy"] == str(wanted)
    rows = [json.loads(line) for line in (tmp_path / "a" / "trees.jsonl").read_text().splitlines()]
    lengths = [n["usage"]["generated"] for row in rows for n in row["nodes"][1:]]
    assert max(lengths) == 9
    assert found["errors"] == {}
    assert found["seconds"]["policy"] > 0


def test_a_helper_is_another_policy(tmp_path, capsys):
    with running(free_port()) as policy, running(free_port()) as critic:
        words = ["--strategy", EVERYTHING, "--policy", f"openai:{policy}#m", "--problems", "world:arithmetic",
                 "--n", "2", "--out"]  # fmt: skip
        run(capsys, *words, str(tmp_path / "a"), "--helper", f"critic=openai:{critic}#critic")
        identity = json.loads((tmp_path / "a" / "result.json").read_text())["run"]
        assert list(identity["helpers"]) == ["critic"]
        capsys.readouterr()
        assert main(["solve", *words, str(tmp_path / "a")]) == 2
        assert "helpers was" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ["--strategy", "majority", "--set", "keep=3"],
            "majority has no setting 'keep'; it has ['batch', 'n',",
        ),
        (["--strategy", "majority", "--set", "n=3", "--samples", "4"], "'n' twice"),
        (["--strategy", "majority", "--samples", "4", "--set", "batch=0"], "at least 1"),
        (
            ["--strategy", "majority", "--samples", "4", "--helper", "critic=world:arithmetic"],
            "nobody is asked",
        ),
        (["--strategy", "majority"], "until the budget is spent"),
        (["--strategy", "no_such_module:Mine"], "cannot be imported"),
        (["--strategy", "best-of-n", "--samples", "2", "--set", "aggregate=average"], "expected one of"),
        (["--strategy", EVERYTHING, "--helper", "critique=world:arithmetic"], "NAME one of ['critic']"),
        (["--strategy", EVERYTHING, "--helper", "critic"], "expected NAME=POLICY"),
    ],
)
def test_what_cannot_be_used_is_status_2_before_anything_is_written(words, said, tmp_path, capsys):
    assert main(["solve", *WORLD, "--n", "1", *words, "--out", str(tmp_path / "o")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not (tmp_path / "o").exists()


def test_visible_tests_are_a_scorer_of_the_command_line(tmp_path):
    scorer = scorer_of("visible-tests", format=None, resolution=0.1)
    assert scorer == VisibleTests(resolution=0.1)
    for options in ({"format": "qwen"}, {"speed": 3}):
        with pytest.raises(InputError, match="visible-tests: got the options"):
            scorer_of("visible-tests", **options)


def test_what_finishes_beyond_what_was_asked_for_is_no_share_of_it():
    two = solve(TreePolicy(), problems(2), Twice())
    assert "finished 2 of 2 (4 in all)" in repr(two)
    assert "finished 4 of 4;" in repr(solve(TreePolicy(), problems(2), Majority(2)))


@dataclass(frozen=True)
class Twice(Greedy):
    """Is asked for one solution and writes two."""

    def select(self, search: Search) -> list[Ask]:
        return [] if search.round else [Ask(search.tree.root, 2, self.sampling, role="solution")]
