"""`complete` pays once for every draw, forms the same batches on every start, and never stores a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preceptor.errors import BackendError
from preceptor.generation import Continuation, Request
from preceptor.store import Store, complete
from preceptor.usage import Usage
from tests.store.things import answer, request


@dataclass
class Policy:
    """Answers with its draw; fails where told."""

    fingerprint: str = "pol"
    fails: set[int] = field(default_factory=set)
    batches: list[list[int]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.batches.append([r.draw for r in requests])
        return [
            Continuation.failed("timeout", "late", Usage(calls=1))
            if r.draw in self.fails
            else answer(str(r.draw))
            for r in requests
        ]


REQUESTS = [request(1, "x", draw) for draw in range(10)]


def test_answers_come_in_the_order_of_the_requests_in_units_by_position():
    policy, told = Policy(), []
    answers = complete(policy, REQUESTS, unit=4, progress=lambda *a: told.append(a))
    assert [a.text for a in answers] == [str(d) for d in range(10)]
    assert policy.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert told == [(4, 10, "4 generated"), (8, 10, "8 generated"), (10, 10, "10 generated")]
    assert complete(policy, []) == []


@pytest.mark.parametrize("stored", [False, True])
def test_equal_requests_are_one_draw_and_the_first_carries_the_cost(tmp_path: Path, stored: bool):
    policy = Policy()
    with Store(tmp_path / "a.store") as store:
        asked = [REQUESTS[0], REQUESTS[1], REQUESTS[0]]
        first, _, again = complete(policy, asked, store if stored else None)
    assert policy.batches == [[0, 1]]
    assert first == answer("0")
    assert (again.text, again.usage) == ("0", Usage(reused=2))


def test_a_second_start_loads_everything_and_costs_nothing(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        paid = complete(Policy(), REQUESTS, store, unit=4)
        policy = Policy()
        served = complete(policy, REQUESTS, store, unit=4)
    assert policy.batches == []
    assert [a.text for a in served] == [a.text for a in paid]
    assert {a.usage for a in served} == {Usage(reused=2)}
    assert [a.token_ids for a in served] == [a.token_ids for a in paid]


def test_an_interrupted_run_forms_the_batches_of_a_whole_one(tmp_path: Path):
    class Breaks(Policy):
        def generate(self, requests):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            return super().generate(requests)

    with Store(tmp_path / "a.store") as store:
        with pytest.raises(KeyboardInterrupt):
            complete(Breaks(), REQUESTS, store, unit=4)
        assert store.stats()["rollouts"] == 4
        policy = Policy()
        complete(policy, REQUESTS, store, unit=4)
    assert policy.batches == [[4, 5, 6, 7], [8, 9]]


def test_of_a_unit_that_is_partly_there_only_the_rest_is_generated(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        complete(Policy(), [REQUESTS[1], REQUESTS[6]], store)
        policy = Policy()
        answers = complete(policy, REQUESTS, store, unit=4)
    assert policy.batches == [[0, 2, 3], [4, 5, 7], [8, 9]]
    assert [a.usage.reused for a in answers] == [0, 2, 0, 0, 0, 0, 2, 0, 0, 0]


def test_failures_are_returned_but_tried_again_on_the_next_start(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        answers = complete(Policy(fails={3, 5}), REQUESTS, store)
        assert [i for i, a in enumerate(answers) if a.error] == [3, 5]
        policy = Policy()
        assert [a.text for a in complete(policy, REQUESTS, store)] == [str(d) for d in range(10)]
        assert policy.batches == [[3, 5]]


def test_another_policy_prefix_seed_or_sampling_is_another_draw(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        complete(Policy(), REQUESTS[:1], store)
        for asked, policy in [
            (REQUESTS[0], Policy("other")),
            (request(1, "y"), Policy()),
            (request(2, "x"), Policy()),
            (request(1, "x", temperature=0.8), Policy()),
        ]:
            complete(policy, [asked], store)
            assert policy.batches == [[0]]


def test_a_policy_that_loses_an_answer_is_refused_and_nothing_is_stored(tmp_path: Path):
    class Loses(Policy):
        def generate(self, requests):
            return super().generate(requests)[1:]

    with Store(tmp_path / "a.store") as store:
        with pytest.raises(BackendError, match="got 9 continuations, expected one for each of 10"):
            complete(Loses(), REQUESTS, store)
        assert store.stats()["rollouts"] == 0
    with pytest.raises(ValueError, match="unit"):
        complete(Policy(), REQUESTS, unit=0)
