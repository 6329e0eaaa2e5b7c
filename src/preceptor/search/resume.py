"""`solve` into a directory, a chunk of problems at a time: safe to kill, and a second start goes on.

While it runs, finished chunks stand in `partial.jsonl` (`run_log.py`). At the end they become

    problems.jsonl  solutions.jsonl  trees.jsonl  result.json     the same bytes, however often it was interrupted
    seconds.json                                                  what a clock said, which no two runs share

and `partial.jsonl` goes, unless problems failed: those are searched again by the next start. A chunk whose policy or
scorer breaks down as a whole becomes an error on each of its problems, and the other chunks go on; what it had spent
is not known. Left out: chunks side by side (one chunk fills a batch).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from preceptor.errors import BackendError, InputError, ItemError, RecordError, ServerUnreachable
from preceptor.generation import Policy
from preceptor.judgement import Scorer
from preceptor.progress import Progress, silent
from preceptor.search.engine import solve
from preceptor.search.result import Candidate, Solution, SolveResult
from preceptor.search.run_log import LOG, RunLog, run_log, same_run
from preceptor.search.strategy import Strategy
from preceptor.search.tree import Tree
from preceptor.store import read_jsonl, write_jsonl
from preceptor.trace import Grade, Problem, Trace, Verdict, content_id
from preceptor.usage import Budget, Ledger

CHUNK = 64
"""Problems searched together."""
FILES = ("result.json", "solutions.jsonl", "trees.jsonl")


class Solved(NamedTuple):
    """All solutions, and the seconds they took: "policy", "scorer" and "wall"."""

    result: SolveResult
    seconds: dict[str, float]


def solve_into(
    out: str | Path,
    policy: Policy,
    problems: Sequence[Problem],
    strategy: Strategy,
    scorer: Scorer | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Progress = silent,
    helpers: Mapping[str, Policy] | None = None,
    *,
    chunk: int = CHUNK,
    before_chunk: Callable[[], object] = lambda: None,
) -> Solved:
    """`solve`, with every chunk of problems kept in `out`, and what an earlier start left there not done again.

    `before_chunk` is called before each: a scorer that remembers should forget then, or what it is charged
    with depends on where a run was interrupted. The times of all usages stand in `Solved.seconds` only.

    Raises what `solve` raises before it has made its first turn, and `InputError` where `out` holds another run or
    is written by another process.
    """
    if chunk < 1:
        raise InputError(f"chunk: got {chunk}, expected at least 1 problem")
    if len({p.id for p in problems}) != len(problems):
        raise InputError(
            f"solve: got {len(problems)} problems of which some share an id, expected one id each"
        )
    out, budget = Path(out), budget or Budget()
    solve(policy, [], strategy, scorer, budget, seed, helpers=helpers)  # refuses what it cannot use
    run = _identity(strategy.prepare(policy), problems, strategy, scorer, budget, seed, helpers or {})
    result = SolveResult((), str(strategy), run["policy"], run["scorer"], budget, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{out}: cannot be made a directory ({error.strerror}). Give another one."
        ) from error
    if not (out / LOG).exists() and any((out / name).exists() for name in FILES):
        record = _json(out / "result.json")
        same_run(out, record.get("run"), run)
        return _read(out, problems, replace(result, rounds=record["rounds"]))
    turns = before = 0

    def tell(done: int, total: int, note: str = "") -> None:
        nonlocal turns
        turns += 1
        progress(before + done, len(problems), note)

    with run_log(out, run) as log:
        write_jsonl(out / "problems.jsonl", (p.to_record() for p in problems))
        todo = [i for i in range(len(problems)) if i not in log.good]
        before = len(log.good)
        for block in _blocks(todo, chunk):
            before_chunk()
            own, began, rounds = [problems[i] for i in block], time.monotonic(), 0
            try:
                found = solve(policy, own, strategy, scorer, budget, seed, tell, helpers)
                solutions, rounds = found.solutions, found.rounds
            except BackendError as error:
                if not turns:
                    raise
                solutions = tuple(_broken(p, strategy, run["policy"], seed, error) for p in own)
            log.add(block, solutions, rounds, time.monotonic() - began)
            before += len(block)
            progress(before, len(problems))
        return _write(out, run, problems, log, replace(result, rounds=log.rounds))


def _identity(
    policy: Policy,
    problems: Sequence[Problem],
    strategy: Strategy,
    scorer: Scorer | None,
    budget: Budget,
    seed: int,
    helpers: Mapping[str, Policy],
) -> dict[str, Any]:
    """What makes it the same run. The size of the chunks is no part of it."""
    return {
        "strategy": f"{type(strategy).__module__}.{strategy}",
        "policy": policy.fingerprint,
        "scorer": None if scorer is None else str(scorer.source),
        "helpers": {name: helpers[name].fingerprint for name in sorted(helpers)},
        "budget": {k: v for k, v in vars(budget).items() if v is not None},
        "seed": seed,
        "problems": f"{len(problems)} {content_id([p.to_record() for p in problems])}",
    }


def _blocks(todo: Sequence[int], chunk: int) -> list[list[int]]:
    """What is to do, cut where an uninterrupted run is cut."""
    blocks: dict[int, list[int]] = {}
    for i in todo:
        blocks.setdefault(i // chunk, []).append(i)
    return list(blocks.values())


def _broken(problem: Problem, strategy: Strategy, policy: str, seed: int, error: BackendError) -> Solution:
    kind = "unreachable" if isinstance(error, ServerUnreachable) else "backend"
    return Solution(
        problem,
        answer=None,
        grade=Grade(Verdict.UNDECIDED, f"policy or scorer failed: {kind}"),
        chosen=None,
        candidates=(),
        asked=strategy.asked,
        stop="failed",
        unserved=0,
        ledger=Ledger(),
        tree=Tree(problem, policy, seed),
        error=ItemError(kind, str(error)),
    )


def _write(
    out: Path, run: Mapping[str, Any], problems: Sequence[Problem], log: RunLog, result: SolveResult
) -> Solved:
    """The final files from the log, result.json last."""
    for part in ("solution", "tree"):
        write_jsonl(out / f"{part}s.jsonl", (log.record(i)[part] for i in range(len(problems))))
    _write_json(out / "seconds.json", log.seconds)
    solved = _read(out, problems, result)
    _write_json(out / "result.json", {**solved.result.to_record(), "run": dict(run)})
    if len(log.good) == len(problems):
        (out / LOG).unlink()
    return solved


def _read(out: Path, problems: Sequence[Problem], result: SolveResult) -> Solved:
    """`result` with the solutions that `_write` wrote."""
    rows = zip(problems, read_jsonl(out / "solutions.jsonl"), read_jsonl(out / "trees.jsonl"), strict=True)
    try:
        solutions = tuple(restored(s, t, p) for p, (_, s), (_, t) in rows)
    except RecordError:
        raise  # says where
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        raise InputError(
            f"{out}: its files are damaged ({error!r}). Remove {out} to start afresh."
        ) from error
    return Solved(replace(result, solutions=solutions), _json(out / "seconds.json"))


def restored(solution: Mapping[str, Any], tree: Mapping[str, Any], problem: Problem) -> Solution:
    """A solution from its line of solutions.jsonl and its line of trees.jsonl."""
    grown = Tree.from_record(tree, problem)
    chosen, grade = solution["chosen"], Grade.from_record(solution["grade"])
    assert grade is not None
    return Solution(
        problem,
        answer=solution["answer"],
        grade=grade,
        chosen=None if chosen is None else Trace.from_record(chosen, problem),
        candidates=tuple(_candidate(record, grown) for record in solution["candidates"]),
        asked=solution["asked"],
        stop=solution["stop"],
        unserved=solution["unserved"],
        ledger=Ledger.from_record(solution["ledger"]),
        tree=grown,
        error=ItemError.from_record(solution["error"]),
    )


def _candidate(record: Mapping[str, Any], tree: Tree) -> Candidate:
    trace, grade = tree.trace(tree[record["node"]]), Grade.from_record(record["grade"])
    return Candidate(
        node=record["node"],
        trace=trace if grade is None else trace.graded(grade),
        answer=record["answer"],
        canon=record["canon"],
        scores=None if record["scores"] is None else tuple(record["scores"]),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
