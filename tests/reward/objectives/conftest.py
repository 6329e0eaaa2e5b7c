from __future__ import annotations

import pytest

from preceptor.judgement import Question
from preceptor.reward.model import build
from preceptor.reward.render import Renderer
from tests.reward.toy import backbone


@pytest.fixture(scope="session")
def lm(tmp_path_factory):
    return backbone(tmp_path_factory.mktemp("objectives") / "lm", hidden=64)


@pytest.fixture(scope="session")
def rendering(lm):
    """`rendering(objective)`: the renderer that training uses."""

    def make(objective, **settings):
        _, tokenizer, fmt = build(
            lm, question=Question.VALIDITY, layout=objective.layout, whole=objective.whole, **settings
        )
        return Renderer(tokenizer, fmt.layout, fmt.max_length, whole=fmt.whole)

    return make
