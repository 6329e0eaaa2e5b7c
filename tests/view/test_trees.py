"""The page of a search: what it says of every node, hostile text, and large trees in a real browser.

Run: python -m pytest tests/view/test_trees.py
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.search import BestOfN, StepBeam, solve
from preceptor.search.resume import solve_into
from preceptor.view import trees as page_of
from preceptor.view.tree_data import Searched, drawn
from preceptor.view.trees import has_trees, trees_page, write_trees
from tests.search.toy import Oracle, TreePolicy, problems
from tests.view.test_browser import BROWSERS, FLAGS
from tests.view.trees_example import HOSTILE, every_status, hostile, large, solution, write_run

NODES = 2000


def told(tree, chosen=None) -> dict[str, Any]:
    """What the page is given of a tree."""
    found = solution(tree, chosen)
    return drawn(Searched(tree.to_record(), found.to_record(), tree.problem.to_record()))


# What it says


def test_a_node_says_why_it_is_what_it_is():
    nodes = told(every_status(), 5)["nodes"]
    assert nodes[2]["why"] == "the same text as node 1"
    assert nodes[3]["why"] == "its score is rank 3 of 4 at depth 1; 2 of 4 went on"
    assert nodes[4]["why"] == "the critic found a wrong sign"
    assert nodes[6]["why"] == "ended by a limit of tokens"
    assert nodes[7]["why"] == "timeout: no answer in 30 s"
    assert "why" not in nodes[1]
    assert [n["status"] for n in nodes[1:]] == [
        "live", "pruned", "pruned", "rejected", "done", "cut", "failed", "live", "done"]  # fmt: skip


def test_absent_unknown_and_zero_stay_three_things():
    nodes = told(every_status(), 5)["nodes"]
    assert nodes[5]["value"] == 0.0
    assert "value" not in nodes[3], "never visited"
    assert nodes[6]["scores"] == (0.25, None)
    assert "scores" not in nodes[8], "never judged"
    assert nodes[9]["start"] == 8, "branches from inside its parent"
    assert "start" not in nodes[5]
    rewrite = every_status()
    from tests.view.trees_example import grow

    grow(rewrite, 5, "From scratch\n", start=0, first_step=0, ends=(13,), scores=(0.5,))
    assert told(rewrite)["nodes"][10]["start"] == 0


def test_the_chosen_node_is_the_one_with_the_chosen_text_and_draw():
    tree = every_status()
    assert told(tree, 5)["chosen"] == 5
    assert told(tree, 9)["chosen"] == 9
    assert told(tree)["chosen"] is None
    result = solve(TreePolicy(), problems(12), BestOfN(6), Oracle())
    for s in result.solutions:
        found = drawn(Searched(s.tree.to_record(), s.to_record(), {}))
        node = s.tree[found["chosen"]]
        assert s.chosen is not None
        assert (s.tree.path(node).text, node.draw) == (s.chosen.text, s.chosen.draw)


def test_colors_span_the_scores_of_their_tree():
    assert (told(every_status())["low"], told(every_status())["high"]) == (0.0, 1.0)
    assert (told(hostile())["low"], told(hostile())["high"]) == (-3.0, 1.0)


def blocks(page: str) -> list[Any]:
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', page, re.DOTALL)
    return [json.loads(text) for text in found]


def test_hostile_text_is_data_in_the_page_and_only_our_script_may_run(tmp_path):
    page = write_trees(write_run(tmp_path, [solution(hostile(), 2)])).read_text()
    head, tree = blocks(page)
    assert head["problems"][0]["id"] == tree["id"] == tree["gold"] == HOSTILE
    assert tree["nodes"][1]["why"] == HOSTILE
    assert "<img" not in page
    assert page.count("</script>") == 3
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1] == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", page.replace(HOSTILE, ""))
    assert "innerHTML" not in scripts[0]
    assert "http" not in scripts[0].replace("http://www.w3.org/2000/svg", "")


# From the files of a run


def test_view_draws_what_solve_left(tmp_path, capsys):
    run = tmp_path / "run"
    solve_into(run, TreePolicy(), problems(5), StepBeam(2, 2), Oracle(), chunk=2)
    assert main(["view", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(run / "trees.html")
    head, *found = blocks((run / "trees.html").read_text())
    assert [t["id"] for t in found] == [f"toy{i}" for i in range(5)] == [p["id"] for p in head["problems"]]
    assert found[0]["gold"] == "7"
    assert head["result"]["strategy"].startswith("StepBeam(keep=2")
    before = (run / "trees.html").read_bytes()
    assert main(["view", str(run), "--out", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").read_bytes() == before
    assert main(["view", str(run / "trees.jsonl"), "--out", str(tmp_path / "file.html")]) == 0


def test_a_run_that_is_not_finished_is_drawn_as_far_as_it_got(tmp_path):
    class Stopped(TreePolicy):
        def generate(self, requests):
            if any(r.problem.id == "toy4" for r in requests):
                raise KeyboardInterrupt
            return super().generate(requests)

    with pytest.raises(KeyboardInterrupt):
        solve_into(tmp_path, Stopped(), problems(6), StepBeam(2, 2), Oracle(), chunk=2)
    assert has_trees(tmp_path)
    log = tmp_path / "partial.jsonl"
    log.write_bytes(log.read_bytes() + b'{"at": 4, "solu')
    found = blocks(write_trees(tmp_path).read_text())[1:]
    assert [t["id"] for t in found] == ["toy0", "toy1", "toy2", "toy3"]
    assert found[0]["prompt"].startswith("Walk the tree")


def test_trees_without_their_problems_and_solutions_are_drawn_too(tmp_path):
    write_run(tmp_path, [solution(every_status(), 5)])
    for name in ("problems.jsonl", "solutions.jsonl", "result.json"):
        (tmp_path / name).unlink()
    _, tree = blocks(write_trees(tmp_path).read_text())
    assert (tree["prompt"], tree["gold"], tree["chosen"], tree["verdict"]) == (None, None, None, None)
    assert len(tree["nodes"]) == 10


def test_what_is_too_much_for_a_page_is_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(page_of, "LIMIT", 6_000)
    run = write_run(tmp_path, [solution(large(20, f"p{i}"), None) for i in range(5)])
    head, *found = blocks(write_trees(run).read_text())
    assert 1 <= len(found) < 5
    assert head["left_out"] == 5 - len(found)


@pytest.mark.parametrize(
    "lines, said",
    [
        ('{"problem": "a", "nodes": [{"id": 0}]}\n', "tree of problem 'a' cannot be read"),
        ('{"problem": "a"}\n', "field 'nodes'"),
        ("not json\n", "trees.jsonl:1"),
    ],
)
def test_files_that_are_no_trees_are_named(lines, said, tmp_path):
    (tmp_path / "trees.jsonl").write_text(lines)
    with pytest.raises(InputError, match=re.escape(said)):
        write_trees(tmp_path)


def test_a_solution_that_names_a_node_that_is_not_there_is_named(tmp_path):
    solve_into(tmp_path, TreePolicy(), problems(2), BestOfN(2), Oracle())
    lines = (tmp_path / "solutions.jsonl").read_text()
    (tmp_path / "solutions.jsonl").write_text(lines.replace('"node":1', '"node":99'))
    with pytest.raises(InputError, match="cannot be read"):
        write_trees(tmp_path)


def test_a_long_problem_is_cut_visibly_in_the_list():
    tree = every_status()
    tree.problem = replace(tree.problem, prompt="word " * 40)
    assert told(tree)["about"] == ("word " * 40)[:59] + "\u2026"


# In a browser

PROBE = """
const frame = document.querySelector('iframe'), found = {steps: {}};
const timed = (name, act) => {
  const start = performance.now();
  act();
  frame.contentDocument.querySelector('.pane svg').getBoundingClientRect();
  found.steps[name] = performance.now() - start;
};
function probe() {
  const doc = frame.contentDocument, all = s => [...doc.querySelectorAll(s)];
  const text = s => doc.querySelector(s).textContent;
  const node = i => doc.querySelector(`g[data-i="${i}"]`);
  const click = (e, kind) => e.dispatchEvent(new MouseEvent(kind || 'click', {bubbles: true}));
  const chip = word => all('.bar button').find(b => b.textContent.includes(word));
  found.ready = Number(doc.body.dataset.ready);
  found.title = doc.title;
  found.list = all('#list .id').map(e => e.textContent);
  found.problem = text('#problem');
  found.chosen = text('#node');
  found.way = all('g.way').map(e => Number(e.dataset.i));
  found.classes = Object.fromEntries(all('g.n').map(e => [e.dataset.i, e.getAttribute('class')]));
  click(node(3));
  found.pruned = text('#node');
  click(node(4), 'mouseover');
  found.hovered = text('#node');
  click(doc.getElementById('pane'), 'mouseleave');
  found.back = text('#node');
  click(node(9));
  const inside = (e, s) => e.querySelector(s).textContent;
  found.rewrite = all('.path li').map(e => [e.className, inside(e, '.v'), inside(e, '.tx')]);
  found.inserted = all('.path .ins').map(e => e.textContent);
  found.marked = all('g.here').map(e => Number(e.dataset.i));
  click(chip('pruned'));
  found.without = all('g.n').map(e => Number(e.dataset.i));
  click(chip('solutions'));
  found.solutions = all('.found tr').map(e => e.textContent);
  click(node(1), 'dblclick');
  found.folded = all('g.n').map(e => Number(e.dataset.i));
  doc.getElementById('pane').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
  found.arrow = text('#node h2');

  click(all('#list button')[1]);
  found.hostile = {problem: text('#problem'), node: text('#node'), snippets: all('g .snip').map(e => e.textContent)};
  click(node(1));
  found.hostile.first = text('#node');
  found.images = doc.images.length;
  found.scripts = doc.scripts.length;

  timed('open', () => click(all('#list button')[2]));
  found.drawn = all('g.n').length;
  found.compact = all('g .snip').length;
  timed('pick', () => click(node(all('g.n').length > 9 ? all('g.n')[9].dataset.i : 1)));
  timed('hover', () => click(all('g.n')[30], 'mouseover'));
  timed('everything', () => click(chip('pruned')));
  found.all = all('g.n').length;
  timed('words', () => doc.querySelector('.bar input').click());
  found.worded = all('g .snip').length;
  timed('fold', () => click(node(1), 'dblclick'));
  timed('flat', () => click(all('#list button')[3]));
  found.flat = all('g.n').length;
  const find = doc.getElementById('find');
  find.value = 'big';
  timed('find', () => find.dispatchEvent(new Event('input')));
  found.filtered = all('#list .id').length;
  document.getElementById('found').textContent = JSON.stringify(found);
}
addEventListener('load', () => {
  try { probe(); } catch (error) {
    document.getElementById('found').textContent = JSON.stringify({error: String(error.stack)});
  }
});
"""


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a browser found while it was used as a reader uses it."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no headless Chromium here: apt-get update && apt-get install -y chromium")
    folder = tmp_path_factory.mktemp("trees")
    big, flat = large(NODES, "big"), large(NODES, "flat", wide=NODES, deep=1)
    made = [solution(every_status(), 5), solution(hostile(), 2), solution(big, None), solution(flat, 7)]
    page = write_trees(write_run(folder / "run", made)).read_text()
    wrapper = folder / "wrapper.html"
    frame = f'<iframe style="width:1400px;height:900px" srcdoc="{html.escape(page)}"></iframe>'
    wrapper.write_text(
        f"<!doctype html><meta charset=utf-8><pre id=found></pre>{frame}<script>{PROBE}</script>"
    )
    flags = [flag for flag in FLAGS if "virtual-time" not in flag]  # times are to be real ones
    got = subprocess.run(
        [browser, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", wrapper.as_uri()],
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=True,
    )
    text = re.search(r'<pre id="found">(.*?)</pre>', got.stdout, re.DOTALL)
    assert text is not None, got.stderr
    found: dict[str, Any] = json.loads(html.unescape(text[1]))
    assert "error" not in found, found["error"]
    assert [line for line in got.stderr.splitlines() if "CONSOLE" in line] == []
    return found


@pytest.mark.browser
def test_the_tree_is_drawn_with_its_chosen_path(looked_at: dict[str, Any]):
    assert looked_at["way"] == [0, 1, 5]
    assert "How many pens" in looked_at["problem"]
    assert "Gold84" in looked_at["problem"]
    assert "The chosen solution." in looked_at["chosen"]
    classes = looked_at["classes"]
    assert {"done", "s10", "way"} <= set(classes["5"].split())
    assert {"pruned", "s3"} <= set(classes["3"].split())
    assert not re.search(r"\bs\d", classes["8"]), "an unscored node has no color"


@pytest.mark.browser
def test_a_click_pins_a_node_and_hovering_only_looks(looked_at: dict[str, Any]):
    assert "its score is rank 3 of 4 at depth 1" in looked_at["pruned"]
    assert "the critic found a wrong sign" in looked_at["hovered"]
    assert looked_at["back"] == looked_at["pruned"]
    assert looked_at["marked"] == [9]


@pytest.mark.browser
def test_a_branch_from_inside_shows_the_text_it_really_has(looked_at: dict[str, Any]):
    assert looked_at["rewrite"] == [
        ["", "0.90", "12*7=84"], ["own", "0.30", "No: 12+7=19"], ["own", "0.20", "Answer: 19"]]  # fmt: skip
    assert looked_at["inserted"] == ["No: "]


@pytest.mark.browser
def test_statuses_can_be_hidden_and_subtrees_folded(looked_at: dict[str, Any]):
    assert set(looked_at["without"]) == {0, 1, 3, 4, 5, 6, 7, 8, 9}, (
        "node 3 is pruned, but something stands behind it"
    )
    assert looked_at["solutions"][1:] == ["584correct0.95", "919incorrect0.20"]
    assert set(looked_at["folded"]) == {0, 1, 3, 4, 6}
    assert looked_at["arrow"].startswith("Node 1:")


@pytest.mark.browser
def test_hostile_text_is_shown_as_text_and_did_nothing(looked_at: dict[str, Any]):
    assert looked_at["title"] == "run: search trees"
    assert looked_at["images"] == 0
    assert looked_at["scripts"] == 6
    told = looked_at["hostile"]
    assert told["problem"].count(HOSTILE) >= 3
    assert HOSTILE in told["first"]
    assert (
        "A null \\u0000, a surrogate \\ud83d, an override \\u202e, {{ 7*7 }} <!-- & --> \U0001f600"
        in told["node"]
    )
    assert any(s.startswith("</script><img") for s in told["snippets"])


@pytest.mark.browser
def test_trees_of_two_thousand_nodes_stay_usable(looked_at: dict[str, Any]):
    assert looked_at["all"] == NODES + 1 == looked_at["flat"]
    assert looked_at["drawn"] < NODES, "a crowded tree opens without what was pruned"
    assert looked_at["compact"] == 0
    assert looked_at["worded"] == NODES
    assert looked_at["filtered"] == 1
    steps = looked_at["steps"]
    assert looked_at["ready"] < 1000
    assert max(steps[name] for name in ("open", "everything", "words", "fold", "flat")) < 2000
    assert max(steps[name] for name in ("pick", "hover", "find")) < 250


def test_the_page_is_the_same_for_the_same_run(tmp_path: Path):
    made = [Searched(every_status().to_record(), {}, {})]
    assert trees_page(iter(made), {}, "x") == trees_page(iter(made), {}, "x")
