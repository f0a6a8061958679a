"""What incidents are made by: sizes, windows and limits."""

from __future__ import annotations

from dataclasses import dataclass

# From this share of a feature's events of a day on, a version is released to its users. The model's inputs, which look
# at the events of the whole product, go by less: a hundredth of one feature's day may be a single test build.
RELEASE_SHARE = 0.05


@dataclass(frozen=True)
class IncidentSettings:
    """Every setting of merging and attribution, with its reason.

    merge_within_days: different metrics found within so many days of one another are one fault; later ones are not.
    reopen_within_days: the same kind of metric again after so short a pause is the same fault.
    product_share, product_minimum_features: when so many features change alike within a day, look upstream first.
    before_days: two of each weekday before the start, to compare slices with.
    longest_during_days: more days of the incident tell no more about its slice.
    minimum_share, minimum_lift: a slice explains a change only if most of it lies there, and more than its traffic.
    minimum_gain: log-likelihood by which a slice must beat 'everything', beside the number of slices tried.
    pair_advantage: a pair of dimensions must explain so much better than a single one.
    prior_bad_events: pseudo-events that draw the earlier rate of a small or new slice to the overall one.
    minimum_evidence: fewer bad (or missing) events than this say nothing of slices.
    """

    merge_within_days: int = 3
    reopen_within_days: int = 3
    product_share: float = 0.5
    product_minimum_features: int = 5
    before_days: int = 14
    longest_during_days: int = 28
    minimum_share: float = 0.6
    minimum_lift: float = 1.5
    minimum_gain: float = 5.0
    pair_advantage: float = 1.1
    prior_bad_events: float = 5.0
    minimum_evidence: float = 10.0


DEFAULT_INCIDENT_SETTINGS = IncidentSettings()
