"""Opening a scorer by name: what describes itself opens, what does not says what to give."""

from __future__ import annotations

import json
import shutil

import pytest

from preceptor.errors import InputError, ModelError
from preceptor.judgement import Question
from preceptor.reward import load_scorer, train
from tests.reward.toy import backbone, toy_labels, trace_of
from tests.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("prm")
    train(toy_labels(10), backbone=backbone(path / "lm"), out=path / "prm", separator="\n", epochs=1, lr=1e-3)
    return path / "prm"


@pytest.fixture
def foreign(directory, tmp_path):
    """The same checkpoint as another trainer would have saved it: without our record."""
    path = tmp_path / "foreign"
    shutil.copytree(directory, path)
    config = json.loads((path / "config.json").read_text())
    del config["preceptor"]
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_directory_describes_itself(directory):
    prm = load_scorer(directory)
    assert prm.question is Question.VALIDITY
    assert prm.format.layout.tag == "\n"


def test_a_foreign_checkpoint_asks_for_its_separator_and_then_scores_alike(directory, foreign):
    with pytest.raises(InputError, match="separator"):
        load_scorer(foreign)
    traces = toy_labels(3).traces
    ours, theirs = load_scorer(directory), load_scorer(str(foreign), separator="\n", question="value")
    assert theirs.question is Question.VALUE
    # TRL puts nothing between the problem and the first step; our own prompt ends in a line break.
    (row,) = theirs.render(traces[0]).rows
    ids = [i for s in traces[0].step_texts for i in theirs.tokenizer.encode(s.rstrip() + "\n")]
    assert row.token_ids == (*theirs.tokenizer.encode(traces[0].problem.prompt), *ids)
    assert theirs.score(traces)[0].scores == pytest.approx(ours.score_rows([row])[0], abs=1e-6)


def test_a_separator_of_several_tokens_is_refused(foreign):
    with pytest.raises(InputError, match="exactly one token"):
        load_scorer(foreign, separator="\n\nStep:")


def test_a_separator_for_a_model_that_has_one_is_refused(directory):
    with pytest.raises(InputError, match="Leave"):
        load_scorer(directory, separator="ки")


def test_a_language_model_is_not_a_scorer(tmp_path):
    with pytest.raises(InputError, match="format"):
        load_scorer(backbone(tmp_path))


def test_an_option_that_the_scorer_does_not_have_is_an_input_error(directory):
    with pytest.raises(InputError, match="'color'"):
        load_scorer(directory, color="red")


def test_what_is_no_directory_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="world:NAME"):
        load_scorer(tmp_path / "nothing")


def test_a_hub_id_that_cannot_be_fetched_is_a_model_error():
    with pytest.raises(ModelError, match="hub"):
        load_scorer("nobody/no-such-reward-model")


def test_the_oracle_of_a_world_opens_by_name():
    from preceptor.worlds import WORLDS

    name = sorted(WORLDS)[0]
    problem = WORLDS[name].problems(n=1)[0]
    oracle = load_scorer(f"world:{name}")
    assert oracle.question is Question.VALIDITY
    assert len(oracle.score([trace_of(problem, ["nonsense\n"])])) == 1
    with pytest.raises(InputError, match="world"):
        load_scorer("world:nowhere")


def test_a_tokenizer_of_another_model_is_a_model_error(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "mixed")
    tiny_tokenizer(300).save_pretrained(tmp_path / "mixed")
    config = json.loads((directory / "config.json").read_text())
    config["preceptor"]["layout"]["ids"] = [1]
    (tmp_path / "mixed" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="tokenizer"):
        load_scorer(tmp_path / "mixed")


def test_a_model_without_tokenizer_is_a_model_error(directory, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(directory / name, tmp_path / name)
    with pytest.raises(ModelError, match="tokenizer"):
        load_scorer(tmp_path)


def test_a_checkpoint_without_its_head_is_a_model_error(directory, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(directory, tmp_path / "headless")
    weights = load_file(directory / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, tmp_path / "headless" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"score\.weight"):
        load_scorer(tmp_path / "headless")


def test_a_damaged_record_is_a_model_error(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "bad")
    config = json.loads((directory / "config.json").read_text())
    config["preceptor"] = {"separator": "\n"}
    (tmp_path / "bad" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="version 2"):
        load_scorer(tmp_path / "bad")
