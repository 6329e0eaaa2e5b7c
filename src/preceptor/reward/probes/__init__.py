"""Small classifiers on what a frozen model computes anyway; the model itself is never changed.

    probe.py             logistic regression or an MLP on one layer's hidden state at each step's end
    uncertainty_head.py  a small transformer over attention and probability features (UHeads)
    states.py            those states and features, from one pass a trace
    labelled.py          labels, the split by problem, held-out figures
    saving.py            safetensors and JSON, bound to the policy's fingerprint

To add a probe: features from `states.py`, examples from `labelled.py`, a class with `fit`, `score`, `save`, `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preceptor.reward.probes.probe import Probe, ProbeSettings
    from preceptor.reward.probes.uncertainty_head import HeadSettings, UncertaintyHead

__all__ = ["HeadSettings", "Probe", "ProbeSettings", "UncertaintyHead"]

_HOMES = {
    "HeadSettings": "uncertainty_head",
    "Probe": "probe",
    "ProbeSettings": "probe",
    "UncertaintyHead": "uncertainty_head",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
