"""Mixtures of languages: proportions, aligned translations, first errors by language.

Run: python -m pytest tests/reward/objectives/test_mixture.py
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from preceptor.errors import InputError
from preceptor.reward import train
from preceptor.reward.objectives import OBJECTIVES, mixed, translated
from tests.reward.toy import good, toy_labels


def sets():
    english = toy_labels(20)
    texts = {
        t.id: (f"Summen {t.problem.id}?", [s.replace("+", " plus ") for s in t.step_texts])
        for t in english.traces
    }
    return english, texts


def test_a_mixture_has_the_proportions_and_reports_first_errors_by_language(lm, tmp_path):
    english, texts = sets()
    german = translated(english, texts, "de")
    data = mixed({"en": english, "de": german}, {"en": 3, "de": 1}, 60)
    names = Counter(t.problem.meta["language"] for t in data.traces)
    assert names == {"en": 45, "de": 15}
    train(data, backbone=lm, out=tmp_path, objective="mprm", epochs=1, held_out=0.2)
    found = json.loads((tmp_path / "training.json").read_text())["first_errors"]
    for name, traces in (("en", 45), ("de", 15)):
        assert sum(found[name].values()) == traces
        own = [t for t in data.traces if t.problem.meta["language"] == name]
        right = sum(all(good(s) for s in t.step_texts) for t in own)
        assert found[name].get("-1", 0) == right


def test_translations_keep_labels_and_those_with_another_number_of_steps_are_counted():
    english, texts = sets()
    first, second, third = english.traces[:3]
    texts[first.id] = (texts[first.id][0], [*texts[first.id][1], "mehr\n"])
    texts[second.id] = (texts[second.id][0], ["", *texts[second.id][1][1:]])
    del texts[third.id]
    german = translated(english, texts, "de")
    assert german.dropped == {"step-count": 1, "empty-step": 1, "no-translation": 1}
    assert len(german.traces) == len(english.traces) - 3
    by_text = {t.text: j for t, j in zip(german.traces, german.judgements)}
    for trace, judgement in list(zip(english.traces, english.judgements))[3:]:
        assert by_text[trace.text.replace("+", " plus ")].scores == judgement.scores
    assert {t.problem.meta["language"] for t in german.traces} == {"de"}


def test_the_separator_is_the_same_token_in_every_language(rendering):
    english, texts = sets()
    german = translated(english, texts, "de")
    render = rendering(OBJECTIVES["mprm"])
    ends = {
        row.token_ids[p]
        for t in (*english.traces, *german.traces)
        for row in render(t).rows
        for p in row.positions
    }
    assert len(ends) == 1


def test_a_set_that_is_too_small_is_refused():
    english, _ = sets()
    with pytest.raises(InputError, match="'de'"):
        mixed({"en": english, "de": translated(english, {}, "de")}, {"en": 1, "de": 1}, 10)
