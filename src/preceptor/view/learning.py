"""The page of training runs, from what `preceptor learn` leaves in their directories and nothing else.

One run or several side by side: accuracy against generated tokens, lengths, steps, scores of right against wrong
completions, KL, warnings, time by part. Runs on preferences or on right answers have the curves of their own figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.bench.statistics import Estimate, bootstrap_mean, wilson
from preceptor.errors import InputError
from preceptor.store import read_jsonl
from preceptor.view.charts import Bar, Line
from preceptor.view.report import Report

POINTS, WINDOW = 60, 5
"""Points of a curve, at most; rows that are averaged for one, at least."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """The files of one run."""

    name: str
    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    """A row a step."""
    measured: tuple[Row, ...]
    """Held-out measurements."""
    result: Mapping[str, Any] | None
    """None: the run is not finished."""
    told: Mapping[str, Any]
    """What the command line knows besides: the method's name and held-out accuracies of offline methods."""

    @property
    def method(self) -> str:
        return str(
            self.told.get("method")
            or self.settings.get("method")
            or self.settings.get("loss")
            or "supervised"
        )

    @property
    def axis(self) -> tuple[str, str]:
        """Key and name of what curves are drawn against."""
        for key, name in (("generated_tokens", "generated tokens"), ("processed_tokens", "processed tokens")):
            if any(_number(row, key) is not None for row in self.rows):
                return key, name
        return "step", "step"


def has_learning(run: Path) -> bool:
    """Is this the directory of a training run?"""
    return (run / "settings.json").is_file() and (run / "metrics.jsonl").is_file()


def write_learning(runs: Sequence[str | Path], page: str | Path) -> Path:
    """Write the page; `InputError` where a file is missing or broken, or nothing has been logged yet."""
    read = [read_run(Path(run)) for run in runs]
    return learning_page(_named(read)).write(page)


def read_run(path: Path) -> Run:
    if not has_learning(path):
        raise InputError(
            f"{path}: got no settings.json and metrics.jsonl, expected the directory of a `preceptor learn` run"
        )
    rows = [row for _, row in read_jsonl(path / "metrics.jsonl", {"step": int})]
    settings, result, told = (path / f"{name}.json" for name in ("settings", "result", "learn"))
    measured = tuple(row for row in rows if "held_out_accuracy" in row)
    return Run(
        path.name or str(path),
        _object(settings),
        tuple(row for row in rows if "held_out_accuracy" not in row),
        measured,
        _object(result) if result.is_file() else None,
        _object(told) if told.is_file() else {},
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: got what is not JSON ({error}), expected what `preceptor learn` writes"
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f"{path}: got {type(found).__name__}, expected a JSON object as `preceptor learn` writes"
        )
    return found


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """By method where these differ, else by directory; numbered where that is not enough."""
    methods = [run.method for run in runs]
    plain = methods if len(set(methods)) == len(runs) else [run.name for run in runs]
    twice = {name for name in plain if plain.count(name) > 1}
    return {
        f"{name} ({i})" if name in twice else name: run for i, (name, run) in enumerate(zip(plain, runs), 1)
    }


def learning_page(runs: Mapping[str, Run]) -> Report:
    several = len(runs) > 1
    first = next(iter(runs.values()))
    start = first.settings.get("start")
    page = Report(
        "Training runs compared" if several else f"Training: {first.method}",
        ", ".join(runs) if several else f"{first.name}, from {start}" if start else first.name,
    )
    _overview(page, runs)
    page.section("Accuracy")
    _held_out(page, runs)
    what = "Decided samples only." if _online(runs) else "Pairs whose chosen side has the larger margin."
    _curves(page, runs, "Accuracy in training", "accuracy", lambda row: _number(row, "accuracy"), note=what)
    _texts(page, runs)
    _scores(page, runs)
    _learner(page, runs)
    _warnings(page, runs)
    _seconds(page, runs)
    page.section("How these figures came about")
    for name, run in runs.items():
        page.provenance({"run": name, **{k: _plain(v) for k, v in run.settings.items()}})
    return page


def _online(runs: Mapping[str, Run]) -> bool:
    return any(run.axis[0] == "generated_tokens" for run in runs.values())


def _overview(page: Report, runs: Mapping[str, Run]) -> None:
    if len(runs) == 1:
        run = next(iter(runs.values()))
        facts = {
            "steps": _steps(run),
            "held out before": _accuracy(run, "before"),
            "held out after": _accuracy(run, "after"),
            "generated tokens": _last(run, "generated_tokens"),
            "trained tokens": _last(run, "trained_tokens"),
            "warnings": sum(len(row.get("warnings", ())) for row in run.rows),
        }
        page.facts({name: value for name, value in facts.items() if value is not None})
    else:
        page.table(
            ["run", "steps", "held out before", "after", "generated tokens", "trained tokens", "warnings"],
            [
                [name, _steps(run), _accuracy(run, "before"), _accuracy(run, "after"), _last(run, "generated_tokens"),
                 _last(run, "trained_tokens"), sum(len(row.get("warnings", ())) for row in run.rows)]
                for name, run in runs.items()
            ],
            caption="The runs",
        )  # fmt: skip
    open_runs = [name for name, run in runs.items() if run.result is None]
    stopped = [f"{name}: {run.result['stopped']['kind']}" for name, run in runs.items()
               if run.result and run.result.get("stopped")]  # fmt: skip
    told = [f"Not finished: {', '.join(open_runs)}."] if open_runs else []
    told += [f"Ended by a warning: {', '.join(stopped)}."] if stopped else []
    page.text(
        "Intervals are 95 %. Curves of training figures are means over neighbouring steps; every point is in the table "
        "below its chart.",
        *told,
    )


def _held_out(page: Report, runs: Mapping[str, Run]) -> None:
    lines = []
    for name, run in runs.items():
        points = [(_number(r, run.axis[0]), _share(r)) for r in run.measured]
        known = [(x, e) for x, e in points if x is not None and e is not None]
        if known:
            values = [[getattr(e, k) for _, e in known] for k in ("value", "low", "high")]
            lines.append(Line(name, [x for x, _ in known], *values))
    if lines:
        how = {str(r.get("held_out_samples", "greedy")) for run in runs.values() for r in run.measured}
        note = f"Samples a problem: {', '.join(sorted(how))}. Bands: Wilson intervals over samples."
        page.lines(lines, title="Held-out accuracy", x=_axis(runs), y="accuracy", note=note)


def _texts(page: Report, runs: Mapping[str, Run]) -> None:
    if not _online(runs):
        return
    page.section("What is written")
    _curves(page, runs, "Length of a completion", "tokens", lambda r: _number(r, "length_mean"))
    _curves(page, runs, "Steps of a completion", "steps", lambda r: _number(r, "credit", "steps_mean"))
    _curves(
        page, runs, "Tokens of a step", "tokens per step", lambda r: _number(r, "credit", "tokens_per_step")
    )
    _curves(
        page, runs, "Repeated runs of four tokens", "share", lambda r: _number(r, "watched", "repetition")
    )
    flat = "Nothing is learned of them from outcomes."
    _curves(
        page,
        runs,
        "Groups all right or all wrong",
        "share",
        lambda r: _number(r, "credit", "flat_groups"),
        flat,
    )
    _curves(page, runs, "Cut at the length limit", "completions a step", lambda r: _number(r, "cut"))


def _scores(page: Report, runs: Mapping[str, Run]) -> None:
    """Of right completions against those of wrong ones: what a scorer that is being fooled loses first."""
    figures = {
        ("watched", "score"): ("Mean step score, right against wrong", "mean step score"),
        ("credit", "process"): ("Step rewards, right against wrong", "reward of a completion"),
    }
    drawn = {}
    for (group, key), told in figures.items():
        both = [
            Line(f"{name}, {side}", *_thinned(run, lambda r, g=group, k=f"{key}_{side}": _number(r, g, k)))  # type: ignore[misc]
            for name, run in runs.items()
            for side in ("right", "wrong")
        ]
        if lines := [line for line in both if line.x]:
            drawn[told] = lines
    if drawn:
        page.section("Scores")
    for (title, y), lines in drawn.items():
        page.lines(
            lines, title=title, x=_axis(runs), y=y, note="The gap is what the scorer knows of the outcome."
        )


def _learner(page: Report, runs: Mapping[str, Run]) -> None:
    page.section("The learner")
    figures = {
        "Loss": ("loss",), "Gradient norm": ("grad_norm",), "KL to the start": ("kl",), "Entropy": ("entropy",),
        "Loss on what an environment wrote": ("observation_loss",),
        "Margin of the chosen side": ("margin",), "Size of the outcome's advantages": ("credit", "outcome_rms"),
        "Size of the steps' advantages": ("credit", "step_rms"),
    }  # fmt: skip
    for title, keys in figures.items():
        _curves(page, runs, title, keys[-1].replace("_", " "), lambda r, k=keys: _number(r, *k))  # type: ignore[misc]


def _warnings(page: Report, runs: Mapping[str, Run]) -> None:
    found: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for name, run in runs.items():
        for row in run.rows:
            for warning in row.get("warnings", ()):
                found.setdefault((name, str(warning.get("kind"))), []).append((row["step"], warning))
    if not any("watched" in row for run in runs.values() for row in run.rows):
        return
    page.section("Warnings")
    if not found:
        page.text("None: no figure left its range. preceptor.learn.monitor says what is looked for.")
        return
    page.table(
        ["run", "warning", "first at step", "steps with it", "value then", "reference"],
        [
            [name, kind, hits[0][0], len(hits), hits[0][1].get("value"), hits[0][1].get("reference")]
            for (name, kind), hits in found.items()
        ],
        caption="Figures that left their range",
        note="A warning says that a person should read completions, not that the run is lost.",
    )


def _seconds(page: Report, runs: Mapping[str, Run]) -> None:
    spent = {name: _parts(run) for name, run in runs.items()}
    parts = list(dict.fromkeys(part for own in spent.values() for part in own))
    if not parts:
        return
    page.section("Time by part")
    if len(runs) == 1:
        own = next(iter(spent.values()))
        page.bars([Bar(part, own[part]) for part in parts], title="Seconds by part", x="seconds")
    page.table(
        ["run", *parts, "all"],
        [
            [
                name,
                *(None if part not in own else round(own[part], 2) for part in parts),
                round(sum(own.values()), 2),
            ]
            for name, own in spent.items()
        ],
        caption="Seconds",
    )


def _parts(run: Run) -> dict[str, float]:
    """The result's own figures, which have the measurements too; of a run that is not finished, the sum of its rows."""
    given = (run.result or {}).get("seconds")
    if isinstance(given, Mapping):
        return {k: float(v) for k, v in given.items()}
    total: dict[str, float] = {}
    for row in run.rows:
        own = row.get("seconds")
        for part, value in own.items() if isinstance(own, Mapping) else [("training", own)] if own else []:
            total[part] = total.get(part, 0.0) + float(value)
    return total


def _curves(
    page: Report,
    runs: Mapping[str, Run],
    title: str,
    y: str,
    read: Callable[[Row], float | None],
    note: str = "",
) -> None:
    """One line a run that has the figure; no chart without any."""
    lines = [Line(name, *_thinned(run, read)) for name, run in runs.items()]
    if lines := [line for line in lines if line.x]:
        alone = f"{lines[0].name} alone has this figure." if len(lines) == 1 < len(runs) else ""
        silent = not any(v for line in lines for v in line.y)
        page.lines(lines, title=title, x=_axis(runs), y=y, note=" ".join(filter(None, (note, alone))),
                   y_limits=(0.0, 1.0) if silent else None)  # fmt: skip


def _thinned(run: Run, read: Callable[[Row], float | None]) -> tuple[list[float], list[float]]:
    """Means over neighbouring rows: short runs row by row, long ones at `POINTS` points."""
    known = [(_number(r, run.axis[0]), read(r)) for r in run.rows]
    points = [(x, y) for x, y in known if x is not None and y is not None]
    size = max(-(-len(points) // POINTS), 1 if len(points) < 4 * WINDOW else WINDOW)
    blocks = [points[i : i + size] for i in range(0, len(points), size)]
    xs, ys = ([sum(p[k] for p in block) / len(block) for block in blocks] for k in (0, 1))
    return xs, ys


def _axis(runs: Mapping[str, Run]) -> str:
    return ", ".join(dict.fromkeys(run.axis[1] for run in runs.values()))


def _number(row: Row, *keys: str) -> float | None:
    """The value at a path of keys; None where there is none."""
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _share(row: Row) -> Estimate | None:
    """Held-out accuracy of the decided samples."""
    correct, n = _number(row, "held_out_correct"), _number(row, "held_out_n")
    if correct is None or n is None:
        return None
    decided = int(n - (_number(row, "held_out_undecided") or 0.0))
    return wilson(int(correct), decided) if decided else None


def _accuracy(run: Run, when: str) -> Estimate | None:
    """Of the result, with a bootstrap over problems; of a run that is not finished the first or last measurement."""
    if isinstance(given := run.told.get(when), Mapping):
        return Estimate(**given)
    found = (run.result or {}).get(when)
    if isinstance(found, Mapping) and found.get("by_problem"):
        return bootstrap_mean(found["by_problem"])
    rows = run.measured if run.result is None else ()
    return _share(rows[0 if when == "before" else -1]) if rows else None


def _steps(run: Run) -> int:
    return int(max((row["step"] for row in run.rows), default=0))


def _last(run: Run, key: str) -> int | None:
    found = [value for row in run.rows if (value := _number(row, key)) is not None]
    return int(found[-1]) if found else None


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) or value is None else json.dumps(value)
