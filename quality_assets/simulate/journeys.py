"""What people do beside their ordinary events: features that they take up, the quiz, invitations; and arms they see.

Extra events of one day as arrays by session. Codes point into `Extras`, which names what the catalogue does not have.
"""

from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.simulate import catalogue
from quality_assets.simulate.people import NOBODY, People, PeopleDay
from quality_assets.simulate.people_plan import INVITES, QUIZ
from quality_assets.simulate.streams import Stream, generator

QUIZ_EVENTS = (
    "quiz_started", "slider_adjusted", "option_selected", "quiz_completed", "result_viewed", "result_shared",
)  # fmt: skip
_QUIZ_GOES_ON = (1.0, 0.93, 0.9, 0.74, 0.97, 0.14)
_COMPLETED = QUIZ_EVENTS.index("quiz_completed")
_INVITE_EVENTS = ("invite_accepted",)
_USE_AGAIN = 0.3
_STEP_S = 12.0
_GOALS = ("comfort", "price", "style")


@dataclass(frozen=True)
class Extras:
    """The names that people bring into a world: features, their events, properties, variants; by code.

    `first_event_name` is, per extra feature, where its names begin among `event_names`.
    """

    features: tuple[catalogue.ProductFeature, ...]
    event_names: tuple[str, ...]
    first_event_name: tuple[int, ...]
    first_property: int
    properties: tuple[str, ...]
    variants: tuple[str | None, ...]
    variant_of_arm: tuple[tuple[int, ...], ...]
    property_of_arm: tuple[tuple[int, ...], ...]
    inviter_property: dict[int, int]

    @property
    def quiz(self) -> int:
        """The index of the quiz among all features."""
        return self.features[0].index

    @property
    def invites(self) -> int:
        """The index of invitations among all features."""
        return self.features[1].index


def build_extras(people: People, features: int, properties: int) -> Extras:
    """Name what `people` bring into a world of so many features and properties."""
    names = (QUIZ, INVITES, *(effect.name for effect in people.plan.effects))
    teams = tuple(catalogue.OWNERS_BY_TEAM)
    extra = tuple(
        catalogue.ProductFeature(features + k, name, teams[k % len(teams)], catalogue.OWNERS_BY_TEAM[teams[k % 8]][0])
        for k, name in enumerate(names)
    )
    families = [name for family in catalogue.EVENT_NAME_FAMILIES for name in family]
    event_names = (*families, *QUIZ_EVENTS, *_INVITE_EVENTS)
    first = (len(families), len(families) + len(QUIZ_EVENTS), *(0 for _ in people.plan.effects))
    texts = [f'{{"step":{step + 1},"goal":"{goal}"}}' for step in range(len(QUIZ_EVENTS)) for goal in _GOALS]
    inviters = np.unique(people.inviter[people.inviter != NOBODY]).tolist()
    by_inviter = {inviter: properties + len(texts) + k for k, inviter in enumerate(inviters)}
    texts += [f'{{"invited_by":"u{inviter:08d}"}}' for inviter in inviters]
    variants: list[str | None] = [None]
    variant_of_arm, property_of_arm = [], []
    for experiment in people.experiments:
        as_property = bool(experiment.property_key)
        variant_of_arm.append(tuple(0 if as_property else len(variants) + k for k in range(len(experiment.arms))))
        start = properties + len(texts)
        property_of_arm.append(tuple(start + k if as_property else 0 for k in range(len(experiment.arms))))
        if as_property:
            texts += [f'{{"{experiment.property_key}":"{arm.name}"}}' for arm in experiment.arms]
        else:
            variants += [f"{experiment.name}:{arm.name}" for arm in experiment.arms]
    return Extras(
        extra, event_names, first, properties, tuple(texts), tuple(variants), tuple(variant_of_arm),
        tuple(property_of_arm), by_inviter,
    )  # fmt: skip


@dataclass(frozen=True)
class ExtraEvents:
    """Events by session: which one, feature, event and properties by code (0 none), milliseconds after its start."""

    session: Ints
    feature: Ints
    event: Ints
    properties: Ints
    offset_ms: Ints


def draw_extra_events(
    people: People, extras: Extras, seed: int, day: int, came: PeopleDay, person: Ints, identified: Bools
) -> ExtraEvents:
    """What happens in the sessions of a day beside ordinary events; `person` is of each session, by its start."""
    rng = generator(seed, Stream.JOURNEYS, day)
    pieces = [
        *_feature_events(people, extras, day, came, person, identified, rng),
        _quiz_events(people, extras, day, person, identified, rng),
        _invite_events(people, extras, day, person, identified),
    ]
    columns = (np.concatenate(column).astype(np.int64) for column in zip(*pieces, strict=True))
    return ExtraEvents(*columns)


Piece = tuple[Ints, Ints, Ints, Ints, Ints]


def _feature_events(
    people: People, extras: Extras, day: int, came: PeopleDay, person: Ints, identified: Bools, rng: np.random.Generator
) -> list[Piece]:
    # The first identified session of each person who came: what is taken up is taken up there.
    first_session = np.full(len(came.person), -1)
    known = np.flatnonzero(identified)[::-1]
    first_session[np.searchsorted(came.person, person[known])] = known
    has_before = [people.adopted_day[index, person] >= 0 for index in range(len(people.plan.effects))]
    taken = people.adopters(came, day, first_session >= 0)
    pieces = []
    for index, positions in enumerate(taken):
        again = np.flatnonzero(has_before[index] & identified & (rng.random(len(person)) < _USE_AGAIN))
        session = np.concatenate([first_session[positions], again])
        count = len(session)
        event = np.searchsorted(np.cumsum(catalogue.EVENT_NAME_SHARES)[:-1], rng.random(count))
        pieces.append(
            (session, np.full(count, extras.features[2 + index].index), event, np.zeros(count, np.int64),
             (rng.random(count) * 60_000).astype(np.int64))
        )  # fmt: skip
    return pieces


def _quiz_events(
    people: People, extras: Extras, day: int, person: Ints, identified: Bools, rng: np.random.Generator
) -> Piece:
    chance = (people.plan.quiz_share * people.keen[person] ** 0.6).clip(0, 0.6)
    session = np.flatnonzero(identified & (rng.random(len(person)) < chance))
    who, count = person[session], len(session)
    completion = np.ones(count)
    for index, experiment in enumerate(people.experiments):
        gains = np.array([arm.completion_effect for arm in experiment.arms])
        if gains.any() and experiment.first_day <= day <= experiment.last_day:
            completion *= 1 + gains[people.arm[index, who]]
    goes_on = np.tile(np.array(_QUIZ_GOES_ON), (count, 1))
    goes_on[:, _COMPLETED] = (goes_on[:, _COMPLETED] * completion).clip(0, 1)
    reached = np.cumprod(rng.random(goes_on.shape) < goes_on, axis=1).astype(bool)
    row, step = np.nonzero(reached)
    gaps_s = np.cumsum(rng.standard_exponential(goes_on.shape) * _STEP_S, axis=1)
    goal = rng.integers(len(_GOALS), size=count)
    base = extras.first_property
    return (
        session[row], np.full(len(row), extras.quiz), step, base + step * len(_GOALS) + goal[row],
        (gaps_s[row, step] * 1000).astype(np.int64),
    )  # fmt: skip


def _invite_events(people: People, extras: Extras, day: int, person: Ints, identified: Bools) -> Piece:
    joins = identified & (people.traits.birth_day[person] == day) & (people.inviter[person] != NOBODY)
    session = np.flatnonzero(joins)
    _, first = np.unique(person[session], return_index=True)
    session = session[first]
    properties = np.array([extras.inviter_property[int(who)] for who in people.inviter[person[session]]], np.int64)
    count = len(session)
    return session, np.full(count, extras.invites), np.zeros(count, np.int64), properties, np.full(count, 500)


def stamp_arms(
    people: People, extras: Extras, seed: int, day: int, person: Ints, session: Ints, feature: Ints, properties: Ints
) -> tuple[Ints, Ints]:
    """The variant of each event, and its properties, where an experiment shows; `person` of each session, or `NOBODY`.

    Events that several experiments could stand in are dealt among them by turns.
    """
    variant = np.zeros(len(session), np.int64)
    rng = generator(seed, Stream.ARMS, day)
    turn = _rank_in_session(session)
    identified = person != NOBODY
    safe = np.where(identified, person, 0)
    names = {f.name: f.index for f in extras.features}
    running = [
        (index, experiment) for index, experiment in enumerate(people.experiments)
        if experiment.first_day <= day <= experiment.last_day
    ]  # fmt: skip
    shared = [index for index, experiment in running if not experiment.feature and not experiment.property_key]
    for index, experiment in running:
        arm = np.where(identified, people.shown_arm(index, safe, day, rng.random(len(person))), NOBODY)[session]
        claims = arm != NOBODY
        if experiment.feature:
            claims &= feature == names.get(experiment.feature, NOBODY)
        elif experiment.property_key:
            claims &= (properties == 0) & (turn % 2 == 0)
        else:
            claims &= (feature != extras.quiz) & (turn % len(shared) == shared.index(index))
        chosen = arm[claims]
        if experiment.property_key:
            properties[claims] = np.array(extras.property_of_arm[index])[chosen]
        else:
            variant[claims] = np.array(extras.variant_of_arm[index])[chosen]
        people.expose(index, np.unique(safe[session[claims]]), day)
    return variant, properties


def _rank_in_session(session: Ints) -> Ints:
    order = np.argsort(session, kind="stable")
    ordered = session[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths = np.diff(np.append(starts, len(ordered)))
    rank = np.empty(len(session), np.int64)
    rank[order] = np.arange(len(session)) - np.repeat(starts, lengths)
    return rank


def spoil_outcomes(
    people: People, extras: Extras, seed: int, day: int, variant: Ints, feature: Ints, event: Ints
) -> tuple[Bools, Bools]:
    """Which events crash, and which arrive broken, because of the arm that stands in them."""
    rng = generator(seed, Stream.ARM_FAULTS, day)
    crashes, broken = np.zeros(len(variant), bool), np.zeros(len(variant), bool)
    draws: Floats = rng.random(len(variant))
    for index, experiment in enumerate(people.experiments):
        for arm, code in zip(experiment.arms, extras.variant_of_arm[index], strict=True):
            if code and arm.crash_rate:
                crashes |= (variant == code) & (draws < arm.crash_rate)
        code = extras.variant_of_arm[index][-1]
        if code and experiment.lost_share and experiment.lost_event in QUIZ_EVENTS:
            is_event = (feature == extras.quiz) & (event == QUIZ_EVENTS.index(experiment.lost_event))
            broken |= (variant == code) & is_event & (draws > 1 - experiment.lost_share)
    return crashes, broken
