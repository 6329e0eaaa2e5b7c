"""The main job from end to end on the arithmetic world: sample, label, train, search, train the policy, measure.

Everything a run found is in plain files under its directory; `preceptor.view.demo` draws the report from
those alone. The stages are functions of their own, so a reader can take one out. Left out: real models and
real data, which take the same path through the command line.

    config.json      settings, versions, seeds        run.db           the store: traces, rollouts, labels
    metrics.jsonl    one row per stage                prm/SOURCE/      reward models and items.jsonl, their
    labels.jsonl     the compared traces, all labels                   scores of held-out traces
    solve/STRATEGY/  answers, candidates, trees       learn/METHOD/    policy trainings
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from preceptor import __version__
from preceptor.annotate import MathShepherd, OmegaBisection, StepConfidence, WorldOracle, label
from preceptor.bench.calibration import calibration_figures, reliability_bins
from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.bench.first_error import (
    f1_of_sums,
    first_error_counts,
    first_error_rows,
    tune_first_error_threshold,
    up_to_first_error,
)
from preceptor.bench.selection import selection
from preceptor.bench.statistics import bootstrap_mean, bootstrap_sums, cluster_sums, paired_bootstrap, wilson
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Judgement, Scorer, first_below
from preceptor.policy import TransformersPolicy, load_policy, sample
from preceptor.progress import Progress
from preceptor.reward import PRM, train
from preceptor.search import BestOfN, Greedy, Majority, StepBeam, Strategy, WeightedVote, solve
from preceptor.store import Store, write_jsonl
from preceptor.trace import Problem, Trace
from preceptor.usage import Budget
from preceptor.worlds import DEFAULT_POLICY, arithmetic

Stage = Callable[[str, str], AbstractContextManager[Progress]]
"""(name of the stage, unit of its work) -> the progress line for it."""


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the run; the defaults take a few minutes on two CPU cores."""

    train_problems: int = 640
    samples: int = 4
    """Traces per problem, for labels and for the held-out check alike."""
    compared_problems: int = 96
    """Training problems on which the three label sources are compared."""
    rollouts: int = 8
    test_problems: int = 160
    budget: int = 600
    """Generated tokens per held-out problem, the same for every strategy."""
    epochs: float = 4.0
    learn_steps: int = 30
    learn_prompts: int = 16
    learn_generations: int = 8
    learn_lr: float = 2e-4
    max_tokens: int = 160
    seed: int = 0


@dataclass
class Run:
    """A run in progress: settings, files, and what the stages hand on."""

    out: Path
    config: DemoConfig
    stage: Stage
    policy: TransformersPolicy
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sampling(self) -> Sampling:
        return Sampling(max_tokens=self.config.max_tokens)

    def record(self, stage: str, began: float, **figures: Any) -> None:
        """Append a row to metrics.jsonl, so that a killed run keeps what it found."""
        row = {"stage": stage, "seconds": round(time.monotonic() - began, 2), **figures}
        self.metrics.append(row)
        write_jsonl(self.out / "metrics.jsonl", self.metrics)


def run_demo(out: str | Path, config: DemoConfig, stage: Stage) -> list[dict[str, Any]]:
    """Run everything and return the rows of metrics.jsonl."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    policy = load_policy("world:arithmetic")
    assert isinstance(policy, TransformersPolicy)
    run = Run(out, config, stage, policy)
    _write_config(run)
    training = arithmetic("train", config.train_problems, config.seed)
    testing = arithmetic("test", config.test_problems, config.seed)
    with Store(out / "run.db") as store:
        traces = draw(run, "sample", training, store)
        compare_labels(run, traces)
        held_out = draw(run, "held-out", testing, store)
        shared: dict[str, Any] = {"rollouts": config.rollouts, "sampling": run.sampling, "seed": config.seed}
        sources: dict[str, Scorer] = {
            "omega-bisection": OmegaBisection(policy, store=store, **shared),
            "world-oracle": WorldOracle(),
        }
        checked = [verifier(run, name, scorer, traces, held_out, store) for name, scorer in sources.items()]
    prm = max(checked, key=lambda pair: pair[1])[0]
    search(run, prm, testing)
    reinforce(run, prm, training, testing)
    return run.metrics


def draw(run: Run, name: str, problems: Sequence[Problem], store: Store) -> list[Trace]:
    """Sample traces and keep them."""
    began = time.monotonic()
    with run.stage(name, "traces") as line:
        traces = sample(
            run.policy, problems, run.config.samples, run.config.seed, run.sampling, store, progress=line
        )
    store.put_traces(traces)
    correct, decided = (
        sum(bool(t.grade and getattr(t.grade, a)) for t in traces) for a in ("correct", "decided")
    )
    run.record(
        name,
        began,
        problems=len(problems),
        traces=len(traces),
        undecided=len(traces) - decided,
        generated=sum(t.usage.generated for t in traces),
        accuracy=wilson(correct, decided).to_record(),
    )
    return traces


def compare_labels(run: Run, traces: Sequence[Trace]) -> None:
    """Label some traces by the oracle, by Monte Carlo and by bisection, and hold the labels against the truth."""
    c = run.config
    compared = traces[: c.compared_problems * c.samples]
    truth = [j.first_error for j in WorldOracle().score(compared)]
    shared: dict[str, Any] = {"rollouts": c.rollouts, "sampling": run.sampling, "seed": c.seed}
    # Each method starts without the other's rollouts, so that the costs can be compared.
    methods: dict[str, Scorer] = {
        "world-oracle": WorldOracle(),
        "math-shepherd": MathShepherd(run.policy, target="soft", **shared),
        "omega-bisection": OmegaBisection(run.policy, **shared),
    }
    said: dict[str, Sequence[Judgement]] = {}
    for name, annotator in methods.items():
        began = time.monotonic()
        with run.stage(f"compare {name}", "traces") as line:
            found = label(annotator, compared, progress=line)
        said[name] = found.judgements
        run.record(
            f"compare {name}",
            began,
            question=annotator.question.value,
            traces=len(compared),
            steps=sum(s is not None for j in found.judgements for s in j.scores or ()),
            failed=found.failed,
            generated=found.usage.policy.generated,
            **first_error_figures(compared, [j.first_error for j in found.judgements], truth),
        )
    write_items(run.out / "labels.jsonl", compared, said)


def first_error_figures(
    traces: Sequence[Trace], found: Sequence[int | None], truth: Sequence[int | None]
) -> dict[str, Any]:
    """Accuracies and F1 of the first error, with a bootstrap over problems."""
    actual = [NO_ERROR if t is None else t for t in truth]
    rows = cluster_sums([t.problem.id for t in traces], first_error_rows(found, actual))
    counts = first_error_counts(found, actual)
    return {
        "error_accuracy": counts.error_accuracy,
        "correct_accuracy": counts.correct_accuracy,
        "f1": bootstrap_sums(rows, f1_of_sums).to_record(),
        "unknown": sum(f is None for f in found),
    }


def verifier(
    run: Run, name: str, annotator: Scorer, traces: Sequence[Trace], held_out: Sequence[Trace], store: Store
) -> tuple[PRM, float]:
    """Label all traces, train a reward model from the policy's own weights, and hold it against the oracle.

    Returns the model and its F1 on the half of the held-out problems that its threshold is tuned on.
    """
    began = time.monotonic()
    with run.stage(f"label {name}", "traces") as line:
        labels = label(annotator, traces, store, progress=line)
    out = run.out / "prm" / name
    with run.stage(f"train {name}", "steps") as line:
        # The policy ends its lines with "\n", so the reward model reads what the policy wrote, unchanged.
        prm = train(
            labels,
            backbone=DEFAULT_POLICY,
            out=out,
            separator="\n",
            epochs=run.config.epochs,
            lr=1e-3,
            seed=run.config.seed,
            progress=line,
        )
    report = json.loads((out / "training.json").read_text(encoding="utf-8"))
    checked, score = check_verifier(run, prm, held_out, out / "items.jsonl")
    run.record(
        f"prm {name}",
        began,
        question=prm.question.value,
        rows=report["rows"],
        loss=report["loss"],
        parity=report["parity"],
        generated=labels.usage.policy.generated,
        tuning_f1=score,
        **checked,
    )
    return prm, score


def check_verifier(run: Run, prm: PRM, traces: Sequence[Trace], items: Path) -> tuple[dict[str, Any], float]:
    """Figures on problems the model never saw, and the F1 its threshold was tuned to on the other half."""
    oracle, scored = WorldOracle().score(traces), prm.score(traces)
    write_items(items, traces, {"world-oracle": oracle, "prm": scored})
    truth = [NO_ERROR if j.first_error is None else j.first_error for j in oracle]
    scores = [j.scores or () for j in scored]
    tuning = [i for i in range(len(traces)) if i // run.config.samples % 2 == 0]
    measured = [i for i in range(len(traces)) if i // run.config.samples % 2 == 1]
    tuned = tune_first_error_threshold([scores[i] for i in tuning], [truth[i] for i in tuning])
    threshold = 0.5 if tuned is None else tuned

    def figures(rows: Sequence[int], at: float) -> dict[str, Any]:
        found = [first_below(scores[i], at) for i in rows]
        return {
            "threshold": at,
            **first_error_figures([traces[i] for i in rows], found, [truth[i] for i in rows]),
        }

    steps = [up_to_first_error(s, e)[:2] for s, e in zip(scores, truth, strict=True)]
    flat, good = [x for s, _ in steps for x in s], [float(y) for _, own in steps for y in own]
    owners = [t.problem.id for t, (s, _) in zip(traces, steps, strict=True) for _ in s]
    picks = selection(traces, scored)
    checked = {
        "traces": len(measured),
        "problems": len({traces[i].problem.id for i in measured}),
        "fixed": figures(measured, 0.5),
        "tuned": figures(measured, threshold),
        "auroc": bootstrap_auroc(owners, flat, good).to_record(),
        "ece": calibration_figures(flat, good).ece,
        "bins": [asdict(b) for b in reliability_bins(flat, good)],
        "picks": None if picks is None else picks.to_record(),
    }
    return checked, figures(tuning, threshold)["f1"]["value"] or 0.0


def write_items(path: Path, traces: Sequence[Trace], said: dict[str, Sequence[Judgement]]) -> None:
    """One line per trace: the problem, the trace without its tokens, and what each scorer said."""
    write_jsonl(
        path,
        (
            {
                "problem": trace.problem.to_record(),
                "trace": {**trace.to_record(), "logprobs": None, "token_ids": None, "token_ends": None},
                "judgements": {name: judgements[i].to_record() for name, judgements in said.items()},
            }
            for i, trace in enumerate(traces)
        ),
    )


def strategies(config: DemoConfig, prm: PRM) -> dict[str, tuple[Strategy, Scorer | None]]:
    """What is compared, with its scorer; every one but greedy spends the budget, whatever it takes."""
    whole: dict[str, Any] = {"sampling": Sampling(max_tokens=config.max_tokens)}
    return {
        "greedy": (Greedy(sampling=Sampling(temperature=0.0, max_tokens=config.max_tokens)), None),
        "majority": (Majority(n=None, **whole), None),
        "best-of-n": (BestOfN(n=None, aggregate="prod", **whole), prm),
        "weighted-vote": (WeightedVote(n=None, aggregate="prod", **whole), prm),
        "step-beam": (StepBeam(keep=4, expand=4, aggregate="prod", sampling=Sampling(max_tokens=24)), prm),
        "best-of-n, confidence": (BestOfN(n=None, aggregate="prod", **whole), StepConfidence()),
        "weighted-vote, confidence": (WeightedVote(n=None, aggregate="prod", **whole), StepConfidence()),
    }


def search(run: Run, prm: PRM, problems: Sequence[Problem]) -> None:
    """Solve the held-out problems by every strategy under one token budget."""
    budget = Budget(tokens=run.config.budget)
    outcomes: dict[str, list[float]] = {}
    for name, (strategy, scorer) in strategies(run.config, prm).items():
        began = time.monotonic()
        with run.stage(f"solve {name}", "problems") as line:
            result = solve(
                run.policy,
                problems,
                strategy,
                scorer=scorer,
                budget=budget,
                seed=run.config.seed,
                progress=line,
            )
        result.write(run.out / "solve" / slug(name))
        outcomes[name] = [float(s.grade.correct) for s in result.solutions]
        gain = paired_bootstrap(outcomes[name], outcomes.get("majority", outcomes[name]))
        run.record(
            f"solve {name}",
            began,
            over_majority=gain.to_record() if name not in ("greedy", "majority") else None,
            **result.to_record(),
        )


def reinforce(run: Run, prm: PRM, training: Sequence[Problem], testing: Sequence[Problem]) -> None:
    """Train the policy with step credit and without, from the same start with the same seed."""
    from preceptor.learn import learn

    c = run.config
    # The oracle as a scorer shows what step credit is worth when the scores are right.
    arms: dict[str, tuple[str, Scorer | None]] = {
        "outcome": ("outcome", None),
        "progress, prm": ("progress", prm),
        "progress, oracle": ("progress", WorldOracle()),
    }
    for name, (method, scorer) in arms.items():
        began = time.monotonic()
        with run.stage(f"learn {name}", "updates") as line:
            result = learn(
                DEFAULT_POLICY,
                training,
                out=run.out / "learn" / slug(name),
                method=method,
                scorer=scorer,
                steps=c.learn_steps,
                prompts_per_step=c.learn_prompts,
                generations=c.learn_generations,
                lr=c.learn_lr,
                max_tokens=c.max_tokens,
                held_out=testing,
                eval_every=max(1, c.learn_steps // 5),
                eval_samples=c.samples,
                seed=c.seed,
                progress=line,
            )
        run.record(
            f"learn {name}",
            began,
            files=f"learn/{slug(name)}",
            before=_accuracy(result.before),
            after=_accuracy(result.after),
            undecided=result.undecided,
            usage=result.usage.to_record(),
            parts=dict(result.seconds),
        )


def slug(name: str) -> str:
    """`"progress, oracle"` -> `"progress-oracle"`."""
    return name.replace(", ", "-")


def _accuracy(found: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    return bootstrap_mean(found.by_problem).to_record()


def _write_config(run: Run) -> None:
    import torch
    import transformers

    record = {
        **asdict(run.config),
        "policy": run.policy.fingerprint,
        "preceptor": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    (run.out / "config.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
