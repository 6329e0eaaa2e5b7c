"""`preceptor learn`: train a policy by reinforcement, from preferences, or on its own right answers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console, offline
from preceptor.cli.options import (
    AsJson,
    Count,
    FormatWord,
    Options,
    Out,
    PolicyWord,
    ProblemsWord,
    Seed,
    options_of,
    problems_of,
    scorer_of,
)
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.learn import Monitor
    from preceptor.trace import Problem

HELD_OUT = 128
"""Problems to measure on, at most."""
STEPS, LR = 50, 1e-5
"""Of reinforcement; other methods have their own."""


def learn(
    method: Annotated[
        str, typer.Option("--method", help="A name from `preceptor credit`, or step_dpo, traj_dpo, sft, ...")
    ],
    policy: PolicyWord,
    problems: ProblemsWord,
    out: Out,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer", help="What the method asks: a scorer (as for score), or a judge, reader or teacher."
        ),
    ] = None,
    format: FormatWord = None,
    option: Options = None,
    held_out: Annotated[str | None, typer.Option(help="Problems to measure on (as --problems).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; 50, or the method's epochs.")] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Problems per update.")] = 16,
    generations: Annotated[int, typer.Option(min=2, help="Attempts per problem.")] = 8,
    lr: Annotated[float | None, typer.Option(help="Learning rate; 1e-5, or the method's own.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="New tokens per attempt.")] = 256,
    num_iterations: Annotated[int, typer.Option(min=1, help="Updates made with one sampled batch.")] = 1,
    kl: Annotated[float, typer.Option(min=0.0, help="Weight of the distance to the start.")] = 0.0,
    episodes: Annotated[
        bool, typer.Option("--episodes", help="Turn by turn, the problems' world replying (minesweeper).")
    ] = False,
    echo: Annotated[
        float | None, typer.Option(min=0.0, help="Weight of a loss on those replies; 0.1 with --method echo.")
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="A curriculum or repair beside the method: h1, mr_rlvr, r3, scope_correct, srl, thinktuning.",
        ),
    ] = None,
    lora: Annotated[int, typer.Option(min=0, help="Rank of LoRA adapters; 0 trains all weights.")] = 0,
    eval_every: Annotated[
        int, typer.Option(min=0, help="Updates between measurements; 0: start and end.")
    ] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Updates between checkpoints; 0: none.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    stop_on: Annotated[
        list[str] | None,
        typer.Option(help="End the run at this warning: divergence, length, kl, ...; repeat."),
    ] = None,
    report_to: Annotated[
        list[str] | None, typer.Option(help="Also log there: tensorboard, wandb, ...; repeat.")
    ] = None,
    store: offline.StoreOption = None,
    source: offline.SourceOption = None,
    set_: offline.SetOption = None,
    n: Count = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a policy (needs the extra "rl"): GRPO with per-token advantages by any method of `preceptor credit`, or
    preference and supervised training by name.

    Writes the model, metrics.jsonl (a row a step) and settings.json to --out; `preceptor view` draws them. Safe to
    kill with --save-every: the same command with --resume goes on.

    \b
      preceptor learn --method outcome --policy world:arithmetic --problems world:arithmetic?split=train --n 512 \\
          --held-out world:arithmetic --steps 20 --lr 1e-4 --out runs/rl
      preceptor learn --method capo --scorer openai:http://localhost:8000#judge --policy my-model/ \\
          --problems problems.jsonl --save-every 10 --stop-on divergence --out runs/capo
      preceptor learn --method echo --episodes --policy my-model/ --problems world:minesweeper?split=train \\
          --out runs/echo
      preceptor learn --method outcome --with scope_correct --set scorer=prm/ --set writer=big-model/ \\
          --policy my-model/ --problems problems.jsonl --out runs/scope
      preceptor learn --method step_dpo --scorer prm/ --policy my-model/ --problems problems.jsonl --out runs/dpo
    """
    _known(method)
    online = {
        "num-iterations": num_iterations != 1, "kl": bool(kl), "lora": bool(lora), "eval-every": bool(eval_every),
        "stop-on": bool(stop_on), "report-to": bool(report_to), "episodes": episodes, "echo": echo is not None,
        "with": with_,
    }  # fmt: skip
    by_credit = _is_credit(method)
    _refuse(method, {"store": store, "source": source} if by_credit else online)
    hook = _hook(with_, set_ if by_credit else None, episodes)
    _loggers(report_to or ())
    asked = problems_of(problems, n, seed)
    measured = [] if held_out is None else problems_of(held_out, HELD_OUT, seed)
    shared = {
        "method": method, "policy": policy, "problems": asked, "held_out": measured, "out": out,
        "scorer": _scorer(scorer, format, option),
        "generations": generations, "max_tokens": max_tokens, "save_every": save_every, "resume": resume, "seed": seed,
    }  # fmt: skip
    if by_credit:
        record = _reinforced(
            **shared,
            steps=steps or STEPS,
            prompts_per_step=prompts,
            lr=LR if lr is None else lr,
            num_iterations=num_iterations,
            kl=kl,
            episodes=episodes,
            echo=echo,
            hook=hook,
            lora=lora,
            eval_every=eval_every,
            monitor=_monitor(stop_on or ()),
            report_to=report_to or (),
        )
    else:
        record = offline.trained(**shared, steps=steps, lr=lr, store=store, source=source, settings=set_)
    console.emit(record, as_json, _words(record))


def _scorer(word: str | None, format: str | None, option: Sequence[str] | None) -> Any:
    """The word, whose meaning is the method's; with a format or options it is a scorer, which is opened."""
    if not format and not option:
        return word
    if word is None:
        raise InputError("--format, --option: got them without --scorer, which they belong to")
    return scorer_of(word, format=format, **options_of(option))


def _reinforced(
    *,
    method: str,
    policy: str,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    out: Path,
    scorer: Any,
    episodes: bool,
    echo: float | None,
    hook: tuple[str, Mapping[str, Any]] | None,
    **settings: Any,
) -> dict[str, Any]:
    from preceptor.learn import learn as train
    from preceptor.learn.parts import helper, parts
    from preceptor.learn.rollouts import trainable

    loaded = trainable(policy)
    try:
        own = parts(method, loaded, scorer)
    except InputError as error:
        what = helper(method)
        hint = f"(--scorer: {what}.)" if what else "Leave --scorer out."
        raise InputError(f"{error} {hint}") from error
    if episodes:
        own |= {"sampler": _episodes(method, own)}
    if echo is not None:
        own |= {"echo": echo}
    if hook is not None:
        own |= _hooks(*hook, method, own, problems, settings["seed"])
    with console.stage("learn", "steps") as line:
        result = train(
            loaded, problems, out=out, method=method, held_out=held_out, progress=line, **own, **settings
        )
    return {
        "method": method,
        "steps": result.steps,
        "model": str(result.model),
        "metrics": str(result.metrics),
        "before": offline.estimate(result.before),
        "after": offline.estimate(result.after),
        "undecided": result.undecided,
        "usage": result.usage.to_record(),
        "seconds": dict(result.seconds),
        "stopped": None
        if result.stopped is None
        else {"step": result.stopped.step, **result.stopped.to_record()},
    }


def _episodes(method: str, own: Mapping[str, Any]) -> Any:
    from preceptor.learn.episodes import EpisodeSource

    if "sampler" in own:
        raise InputError(
            f"--episodes: got with --method {method}, which has rollouts of its own. Leave it out."
        )
    return EpisodeSource


def _hook(
    name: str | None, words: Sequence[str] | None, episodes: bool
) -> tuple[str, Mapping[str, Any]] | None:
    """Name and settings, read before anything is loaded; for a credit method `--set` is the hook's."""
    if name is None:
        if words:
            raise InputError(
                "--set: got with a credit method and no --with, expected only with one of them: its settings are the "
                "hook's. Leave it out."
            )
        return None
    from preceptor.learn.hooks_by_name import known

    try:
        known(name)
    except InputError as error:
        raise InputError(f"--with: {error}") from error
    if episodes:
        raise InputError(
            "--with: got with --episodes, expected one of them: hooks do not ask an environment."
        )
    return name, options_of(words, "--set")


def _hooks(
    name: str,
    given: Mapping[str, Any],
    method: str,
    own: Mapping[str, Any],
    problems: Sequence[Problem],
    seed: int,
) -> dict[str, Any]:
    from preceptor.learn.hooks_by_name import hooks

    if {"sampler", "prepare", "amend"} & set(own):
        raise InputError(
            f"--with: got with --method {method}, which has rollouts or hooks of its own. Leave it out."
        )
    try:
        return hooks(name, problems, given, seed=seed, scorer=own["scorer"])
    except InputError as error:
        raise InputError(f"--with {name}: {error} (Settings: --set NAME=VALUE.)") from error


def _words(record: dict[str, Any]) -> str:
    shown = [console.rate(record[when]) for when in ("before", "after") if record[when] is not None]
    lines = [f"held out: {' -> '.join(shown) or 'not measured'}", record["model"]]
    if stopped := record.get("stopped"):
        figures = f"{stopped['value']:.3g} against {stopped['reference']:.3g}"
        lines.insert(0, f"stopped at step {stopped['step']}: {stopped['kind']} ({figures})")
    if "records" in record:
        dropped = ", ".join(f"{count} {why}" for why, count in record["dropped"].items() if count)
        lines.insert(0, f"{record['records']} records" + (f"; not used: {dropped}" if dropped else ""))
    return "\n".join(lines)


def _is_credit(method: str) -> bool:
    from preceptor.credit import METHODS

    return method in METHODS


def _known(method: str) -> None:
    """InputError for a name that nothing has, with those that are near."""
    from preceptor.credit import METHODS
    from preceptor.learn.offline import ELSEWHERE, RECIPES, recipe_of

    if method in METHODS:
        return
    if method in RECIPES or method in ELSEWHERE:
        recipe_of(method)
        return
    near = difflib.get_close_matches(method, [*METHODS, *RECIPES], n=3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise InputError(
        f"--method: got {method!r}, expected a name that `preceptor credit` lists (outcome, rloo, progress, pure, ...) "
        f"or one of {', '.join(RECIPES)}.{meant}"
    )


def _refuse(method: str, given: dict[str, Any]) -> None:
    if strange := [f"--{name}" for name, value in given.items() if value]:
        kind = "methods of preferences and supervised ones" if _is_credit(method) else "reinforcement"
        raise InputError(
            f"{', '.join(strange)}: got with --method {method}, expected only with {kind}. Leave it out."
        )


def _monitor(stop_on: Sequence[str]) -> Monitor:
    from preceptor.learn import Monitor

    return Monitor(stop_on=stop_on)


def _loggers(names: Sequence[str]) -> None:
    """InputError for a logger that is unknown or not installed, before anything is loaded."""
    if not names:
        return
    from transformers.integrations import integration_utils

    available: Any = integration_utils.get_available_reporting_integrations
    there = sorted(available())
    if missing := sorted(set(names) - set(there)):
        raise InputError(
            f"--report-to: got {', '.join(missing)}, which is unknown or not installed; installed here: "
            f"{', '.join(there) or 'none'}. metrics.jsonl has all figures without it."
        )
