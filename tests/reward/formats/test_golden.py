"""Every record against a tiny checkpoint in its family's own layout (see `golden.py` for what is checked)."""

from __future__ import annotations

import pytest

from preceptor.reward.formats import FORMATS, for_architecture, for_hub_id
from tests.reward.formats import golden
from tests.reward.formats.families import FAMILIES
from tests.reward.formats.references import REFERENCES, Checkpoint

every_record = pytest.mark.parametrize("name", sorted(FAMILIES))
every_checkpoint = pytest.mark.parametrize(
    "name", sorted({make: name for name, make in FAMILIES.items()}.values())
)
"""One record where several read the same files."""


@every_record
def test_there_is_one_score_per_step(name, scorers):
    golden.count(scorers(name))


@every_record
def test_scores_are_those_of_the_documented_text_position_head_and_link(name, scorers, checkpoints):
    model = Checkpoint(checkpoints(name))
    golden.documented(scorers(name), lambda problem, steps: REFERENCES[name](model, problem, steps))


@every_record
def test_later_steps_change_no_score(name, scorers):
    golden.prefix(scorers(name))


@every_checkpoint
def test_company_and_order_change_no_score(name, scorers):
    golden.company(scorers(name))


@every_checkpoint
def test_bf16_loses_no_score_and_drifts_little(name, scorers, checkpoints):
    assert golden.half(scorers(name), checkpoints(name), name) <= 2e-2


@every_checkpoint
def test_what_exceeds_the_context_is_windowed_or_an_error(name, scorers):
    golden.length(scorers(name))


@every_record
def test_what_a_step_says_moves_no_readout(name, scorers):
    golden.hostile(scorers(name))


@every_checkpoint
def test_a_checkpoint_that_does_not_fit_is_refused(name, scorers, checkpoints, tmp_path):
    golden.refuses(scorers(name), checkpoints(name), name, tmp_path)


@every_record
def test_the_record_is_found_by_its_hub_ids_and_its_architecture(name):
    record = FORMATS[name]
    assert all(for_hub_id(model) is record for model in record.models)
    assert all(for_architecture(kind) is record for kind in record.architectures)
    assert type(record).from_record(record.to_record()).layout == record.layout
