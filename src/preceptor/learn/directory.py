"""What a run leaves on the disk, and how a later start finds out where it was.

settings.json   what was asked; a resumed run must ask the same
metrics.jsonl   a row a step; cut back to the checkpoint on resuming
checkpoints/    only while the run is going on
model/          the trained model; appears whole, at the end
result.json     written last: with it the run is finished
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.learn.checkpoints import Checkpoints, read_json, replace_directory, write_json
from preceptor.learn.metrics import MetricsLog


@dataclass(frozen=True)
class RunDirectory:
    """`rank`: number of this process; only process 0 writes."""

    path: Path
    rank: int = 0

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.path / "checkpoints", self.rank)

    def refuse_other(self, about: Mapping[str, Any]) -> None:
        """InputError when the run that is here was asked something else."""
        there = read_json(self.path / "settings.json") or dict(about)
        changed = sorted(k for k in {*there, *about} if there.get(k) != about.get(k))
        if changed:
            shown = "; ".join(f"{k}: got {about.get(k)!r}, the run has {there.get(k)!r}" for k in changed)
            raise InputError(
                f"{self.path}: cannot be resumed with other settings ({shown}). Give the same ones, another "
                "directory, or resume=False, which starts anew and drops what is there."
            )

    def finished(self) -> dict[str, Any] | None:
        return read_json(self.path / "result.json") if self.model.is_dir() else None

    def open(self, about: Mapping[str, Any], checkpoint: Path | None) -> MetricsLog:
        """The log to go on with: empty, or cut back to `checkpoint`."""
        if self.rank == 0:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "result.json").unlink(missing_ok=True)
            if checkpoint is None:
                self.checkpoints.clear()
            write_json(self.path / "settings.json", about)
        keep = 0 if checkpoint is None else int(self.checkpoints.session(checkpoint)["metrics_bytes"])
        return MetricsLog(self.metrics, keep, writes=self.rank == 0)

    def close(self, policy: Any, result: Mapping[str, Any]) -> None:
        """Save the model, then mark the run finished, then drop the checkpoints."""
        part = self.path / ".model.part"
        shutil.rmtree(part, ignore_errors=True)
        policy.model.save_pretrained(part)
        policy.tokenizer.save_pretrained(part)
        replace_directory(part, self.model)
        write_json(self.path / "result.json", result)
        self.checkpoints.clear()
