"""The report of `preceptor demo`, drawn from the plain files of its run and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.bench.statistics import Estimate
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.store import read_jsonl
from preceptor.trace import Problem, Trace
from preceptor.view.charts import Bar, Line
from preceptor.view.report import Report
from preceptor.view.traces import ScoredTrace

SHOWN = 5
"""Traces of each kind on the page."""
ORACLE = "world-oracle"


class _Bin:
    """A reliability bin as written to metrics.jsonl."""

    def __init__(self, record: dict[str, Any]):
        self.n: int = record["n"]
        self.mean_score: float = record["mean_score"]
        self.mean_target: float = record["mean_target"]


def write_report(run: str | Path, out: Path | None = None) -> Path:
    """Write `out`, by default `report.html` in the directory of a run; InputError when its files are not whole."""
    run = Path(run)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    rows = {row["stage"]: row for _, row in read_jsonl(run / "metrics.jsonl", {"stage": str})}
    missing = [s for s in ("sample", "prm world-oracle", "solve majority") if s not in rows]
    if missing:
        raise InputError(
            f"{run / 'metrics.jsonl'}: got no stage {missing[0]!r}; run preceptor demo to its end"
        )
    problems = rows["held-out"]["problems"]
    page = Report("Preceptor demo", f"arithmetic world, {problems} held-out problems, seed {config['seed']}")
    _overview(page, rows)
    _labels(page, rows)
    _verifiers(page, rows)
    _search(page, rows, config)
    _learning(page, rows, run)
    _traces(page, run, rows)
    page.section("How these figures came about")
    page.provenance({"command": "preceptor demo", **config})
    return page.write(out or run / "report.html")


def _estimate(record: dict[str, Any] | None) -> Estimate | None:
    return None if record is None else Estimate(**record)


def _solved(row: dict[str, Any]) -> Estimate:
    return Estimate(row["accuracy"], row["interval"][0], row["interval"][1], row["decided"])


def _named(rows: dict[str, Any], verb: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name.removeprefix(verb), row) for name, row in rows.items() if name.startswith(verb)]


def _chosen(rows: dict[str, Any]) -> str:
    """The label source of the reward model that guides the searches."""
    return max(dict(_named(rows, "prm ")).items(), key=lambda item: item[1]["tuning_f1"])[0]


def _overview(page: Report, rows: dict[str, Any]) -> None:
    searched = dict(_named(rows, "solve "))
    chosen = _chosen(rows)
    best = max((n for n in searched if n != "greedy"), key=lambda name: searched[name]["accuracy"])
    facts: dict[str, Any] = {
        "one sample": _estimate(rows["held-out"]["accuracy"]),
        "greedy": _solved(searched["greedy"]),
        f"best search ({best})": _solved(searched[best]),
        f"first-error F1 (PRM from {chosen})": _estimate(rows[f"prm {chosen}"]["tuned"]["f1"]),
    }
    for name, row in _named(rows, "learn "):
        facts[f"after training ({name})"] = _estimate(row["after"])
    page.facts(facts)
    page.text(
        "A small language model writes solutions of generated word problems. Its steps are labelled in three "
        "ways, reward models learn from the labels, the better one guides searches on problems it never saw, and "
        "the policy is trained with and without its step scores. Intervals are 95 %; searches and trainings are "
        "compared on the same problems."
    )


def _labels(page: Report, rows: dict[str, Any]) -> None:
    page.section("Step labels")
    found = _named(rows, "compare ")
    page.table(
        ["labels by", "question", "first-error F1", "wrong found", "right kept", "unknown", "tokens", "seconds"],
        [
            [name, r["question"], _estimate(r["f1"]), r["error_accuracy"], r["correct_accuracy"], r["unknown"],
             r["generated"], r["seconds"]]
            for name, r in found
        ],
        caption=f"{found[0][1]['traces']} training traces, each method without the others' rollouts",
        note="Truth is the first invalid line. Monte Carlo asks another question, whether the answer can still be "
        "reached, so it cannot agree everywhere: some errors are repaired or harmless.",
    )  # fmt: skip


def _verifiers(page: Report, rows: dict[str, Any]) -> None:
    page.section("Reward models")
    found = _named(rows, "prm ")
    page.table(
        ["trained on labels by", "question", "first-error F1", "F1 at 0.5", "wrong found", "right kept", "step AUROC",
         "ECE", "rows", "seconds"],
        [
            [name, r["question"], _estimate(r["tuned"]["f1"]), _estimate(r["fixed"]["f1"]),
             r["tuned"]["error_accuracy"], r["tuned"]["correct_accuracy"], _estimate(r["auroc"]), r["ece"],
             r["rows"], r["seconds"]]
            for name, r in found
        ],
        caption=f"{found[0][1]['problems']} held-out problems, {found[0][1]['traces']} traces, against the oracle",
        note="The threshold of the first F1 was tuned on as many other held-out problems. Train and serve gave the "
        "same scores to " + ", ".join(f"{r['parity']['max_difference']:.0e}" for _, r in found) + ".",
    )  # fmt: skip
    page.lines(
        [Line(name, [p[0] for p in r["loss"]], [p[1] for p in r["loss"]]) for name, r in found],
        title="Training loss", x="step", y="loss", note="Soft labels have a floor above zero.",
    )  # fmt: skip
    page.reliability(
        {name: [_Bin(b) for b in r["bins"]] for name, r in found}, title="Scores against the truth", x="mean score",
        y="share of right steps", note="Steps up to the first error. Bisection's labels are values, not validity.",
    )  # fmt: skip
    for name, row in found:
        page.table(
            ["pick by", "accuracy", "over random", "over majority"],
            [[p["rule"], *(_estimate(p[k]) for k in ("accuracy", "over_random", "over_majority"))]
             for p in row["picks"]["picks"]],
            caption=f"Picking one of {row['picks']['pool']:.0f} samples with the model trained on {name}",
        )  # fmt: skip


def _search(page: Report, rows: dict[str, Any], config: dict[str, Any]) -> None:
    page.section("Search under one token budget")
    found = _named(rows, "solve ")
    page.bars(
        [Bar(n, r["accuracy"], *r["interval"]) for n, r in found], title="Accuracy by strategy", x="accuracy"
    )
    page.table(
        ["strategy", "accuracy", "over majority", "tokens/problem", "scored/problem", "finished", "upper bound"],
        [
            [name, _solved(r), _estimate(r["over_majority"]), round(r["tokens_per_problem"]),
             round(r["ledger"]["scorer"].get("scored", 0) / r["problems"]), r["finished"], r["pass_rate"]]
            for name, r in found
        ],
        caption=f"{found[0][1]['problems']} problems, at most {config['budget']} generated tokens each; "
        f"reward model from {_chosen(rows)}",
        note="Confidence is the policy's own: the product over steps of each step's least likely token. Greedy "
        "needs one solution and stops there. The upper bound is the share of problems with a right answer "
        "among the candidates; over majority is a paired difference.",
    )  # fmt: skip


def _learning(page: Report, rows: dict[str, Any], run: Path) -> None:
    found = _named(rows, "learn ")
    if not found:
        return
    page.section("Training the policy")
    page.table(
        ["credit", "before", "after", "tokens sampled", "seconds"],
        [
            [
                name,
                _estimate(r["before"]),
                _estimate(r["after"]),
                r["usage"]["policy"]["generated"],
                r["seconds"],
            ]
            for name, r in found
        ],
        caption="Accuracy of single samples at temperature 1 on the held-out problems; same start, seed and updates",
    )
    history = {n: [r for _, r in read_jsonl(run / row["files"] / "metrics.jsonl", {})] for n, row in found}
    page.lines(_curves(history, "accuracy"), title="Accuracy of the training samples", x="tokens sampled",
               y="accuracy", note="A running mean of five updates.")  # fmt: skip
    measured = [line for line in _curves(history, "held_out_accuracy", window=1) if line.x]
    if measured:
        page.lines(measured, title="Held-out accuracy", x="tokens sampled", y="accuracy")


def _curves(history: dict[str, list[dict[str, Any]]], key: str, window: int = 5) -> list[Line]:
    lines = []
    for name, rows in history.items():
        points = [(r["generated_tokens"], r[key]) for r in rows if r.get(key) is not None]
        values = [v for _, v in points]
        smooth = [
            sum(values[max(0, i - window + 1) : i + 1]) / len(values[max(0, i - window + 1) : i + 1])
            for i in range(len(values))
        ]
        lines.append(Line(name, [x for x, _ in points], smooth))
    return lines


def _traces(page: Report, run: Path, rows: dict[str, Any]) -> None:
    page.section("Real traces")
    chosen = _chosen(rows)
    page.traces(
        _varied(_read(run / "prm" / chosen / "items.jsonl")), reference=ORACLE, color_by="prm",
        threshold=rows[f"prm {chosen}"]["tuned"]["threshold"],
        title=f"Held-out traces, colored by the reward model from {chosen}",
    )  # fmt: skip
    page.traces(
        _varied(_read(run / "labels.jsonl")), reference=ORACLE, color_by="math-shepherd",
        title="Training traces, colored by Monte Carlo",
    )  # fmt: skip


def _read(path: Path) -> list[ScoredTrace]:
    found = []
    for _, row in read_jsonl(path, {"problem": dict, "trace": dict, "judgements": dict}):
        trace = Trace.from_record(row["trace"], Problem.from_record(row["problem"]))
        found.append(ScoredTrace(trace, {n: Judgement.from_record(j) for n, j in row["judgements"].items()}))
    return found


def _varied(items: Sequence[ScoredTrace]) -> list[ScoredTrace]:
    """Traces of different problems: wrong ones whose first step is right, and a right one."""
    wrong = {i.trace.problem.id: i for i in items if (i.judgements[ORACLE].first_error or 0) > 0}
    right = [i for i in items if i.judgements[ORACLE].first_error == NO_ERROR]
    return [*list(wrong.values())[: SHOWN - 1], *right[:1]]
