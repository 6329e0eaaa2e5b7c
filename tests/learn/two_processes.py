"""One short run for `torchrun`: `python two_processes.py POLICY OUT`; rank 0 notes all advantages."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import preceptor.learn.grpo as grpo
from preceptor.grade import GRADERS
from preceptor.learn import learn
from tests.learn.toys import SEVEN, HashValue, problems

RUN = {
    "steps": 3,
    "prompts_per_step": 3,
    "generations": 4,
    "max_tokens": 12,
    "lr": 1e-2,
    "kl": 0.05,
    "eval_every": 2,
    "eval_samples": 2,
}


def main(policy: str, out: Path, dies_at: int = 0, **options) -> None:
    GRADERS["seven"] = SEVEN

    def die(step: int, total: int, note: str = "") -> None:
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    found = []
    plain = grpo.compute

    def noted(rollouts, signals, credit):
        batch = plain(rollouts, signals, credit)
        found.append([[round(x, 5) for x in row] for row in batch.advantages])
        return batch

    grpo.compute = noted
    try:
        learn(
            policy,
            problems(7),
            out=out,
            method="progress",
            scorer=HashValue(),
            held_out=problems(3),
            progress=die,
            **RUN,
            **options,
        )
    finally:
        grpo.compute = plain
    if os.environ.get("RANK", "0") == "0":
        (out / "advantages.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), **json.loads(sys.argv[3]))
