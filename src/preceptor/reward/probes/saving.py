"""A trained probe on disk: `probe.safetensors` (weights) and `probe.json` (what they are, and for whom).

A probe belongs to the weights it was trained on: opening it with another policy is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from preceptor.errors import InputError, ModelError
from preceptor.reward.probes.states import OpenPolicy

WEIGHTS, RECORD = "probe.safetensors", "probe.json"
VERSION = 1


def weights_hash(net: torch.nn.Module) -> str:
    """16 hex digits over every byte of the weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in net.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(directory: str | Path, kind: str, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> Path:
    """Write both files; `record` must be JSON."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"kind": kind, "version": VERSION, **record}, indent=1, sort_keys=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, directory / WEIGHTS)
    (directory / RECORD).write_text(text + "\n", encoding="utf-8")
    return directory


def load(
    directory: str | Path, kind: str, policy: OpenPolicy
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and record. ModelError for files that are no such probe, InputError for another policy."""
    directory = Path(directory)
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        tensors = load_file(directory / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as problem:
        raise ModelError(
            f"{directory}: cannot be read as a probe ({type(problem).__name__}: {problem}). Expected "
            f"{RECORD} and {WEIGHTS} as `save` writes them."
        ) from problem
    if not isinstance(record, dict) or record.get("kind") != kind or record.get("version") != VERSION:
        got = f"kind {record.get('kind')!r}, version {record.get('version')!r}" if record else "no record"
        raise ModelError(f"{directory}: got {got}, expected kind {kind!r}, version {VERSION}")
    if record.get("policy") != policy.fingerprint:
        raise InputError(
            f"{directory}: the probe was trained on policy {record.get('policy')}, got {policy.fingerprint}. "
            "Its scores mean nothing on other weights: open it with its own policy, or train one."
        )
    return tensors, record
