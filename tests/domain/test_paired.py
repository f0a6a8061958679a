"""The verdict on a shadow: right where there is a difference, quiet where there is none, however often one looks."""

from __future__ import annotations

import numpy as np

from quality_assets.domain.models.learning.paired import ALPHA, LEAST_PAIRS, always_valid_p, paired_losses


def test_looks_without_end_at_two_like_models_are_false_at_most_as_often_as_said() -> None:
    rng = np.random.default_rng(4)
    false = [always_valid_p(rng.normal(size=3_000)) <= ALPHA for _ in range(200)]
    assert np.mean(false) <= ALPHA


def test_a_better_and_a_worse_one_are_told() -> None:
    rng = np.random.default_rng(1)
    losses = rng.exponential(size=1_000)
    assert paired_losses(losses, losses * 0.7).verdict == "better"
    worse = paired_losses(losses, losses * 1.3)
    assert worse.verdict == "worse"
    assert worse.gain is not None
    assert np.isclose(worse.gain, -0.3 * losses.mean())
    assert "30 % more squared error" in worse.words


def test_too_few_outcomes_decide_nothing() -> None:
    few = np.ones(LEAST_PAIRS - 1)
    assert paired_losses(few, few * 0).verdict == "unknown"
    assert paired_losses(np.ones(99), np.ones(99)).verdict == "undecided"
