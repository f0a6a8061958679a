"""People with lives: when they come first and last, how keen they are, whom they were invited by, what changed them.

Days are lived in order: what somebody took up, or saw, on a day changes how often they come after it. What happens in a
session lives in `journeys`.
"""

from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.simulate import catalogue
from quality_assets.simulate.people_plan import EFFECT_DAYS, Experiment, FeatureEffect, PeoplePlan
from quality_assets.simulate.population import Users, draw_traits
from quality_assets.simulate.streams import Stream, generator

NEVER = -1
NOBODY = -1
_PRESENT_AT_START = 0.3
_VISITOR_SHARE = 0.35
_VISITOR_DAYS = 2.0
_STAY_DAYS = 80.0
_KEEN_SIGMA = 0.9
_INTEREST_SIGMA = 0.7
_INTEREST_DAYS = 10
_RECENT_DECAY = 0.9
_WEEKDAY_USE = (1.0, 1.02, 1.0, 0.98, 1.05, 1.0, 0.95)
_HORIZON_DAYS = 7


@dataclass(frozen=True)
class PeopleDay:
    """Who comes on a day: positions in `People.traits`, ascending, and how many sessions each has."""

    person: Ints
    sessions: Ints


class People:
    """Everybody of a plan, and what has become of them by the day that is being lived."""

    def __init__(self, seed: int, days: int, first_weekday: int, sessions_per_day: float, plan: PeoplePlan) -> None:
        self.plan, self.days = plan, days
        self.experiments = plan.experiments_of(days)
        self._seed, self._first_weekday = seed, first_weekday
        rng = generator(seed, Stream.PEOPLE)
        n = plan.users
        self.traits = _traits(n, days, rng)
        self.keen = rng.lognormal(0, _KEEN_SIGMA, n)
        self.inviter = _inviters(self.traits, self.keen, plan.invited_share, rng)
        self.arm = np.array(
            [_assigned(seed, index, e, n) for index, e in enumerate(self.experiments)], np.int64
        ).reshape(len(self.experiments), n)
        self.is_double = np.array(
            [rng.random(n) < e.double_share for e in self.experiments], bool
        ).reshape(len(self.experiments), n)  # fmt: skip
        lived = (np.minimum(self.traits.death_day, days) - self.traits.birth_day).clip(0)
        self._scale = sessions_per_day * days / max(1e-9, float((lived * self.keen).sum()))
        self._begin()

    def _begin(self) -> None:
        n = self.plan.users
        self.adopted_day = np.full((len(self.plan.effects), n), NEVER, np.int64)
        self.exposed_day = np.full((len(self.experiments), n), NEVER, np.int64)
        self.true_gain: list[Floats] = [np.empty(0) for _ in self.plan.effects]
        self._recent = np.zeros(n)
        self._lived_day = -1

    def live(self, day: int) -> PeopleDay:
        """Who comes on `day`, the one after the last that was lived; ValueError for another."""
        if day == 0:
            self._begin()
        if day != self._lived_day + 1:
            raise ValueError(f"days are lived in order: day {self._lived_day + 1} is next, not {day}")
        self._lived_day = day
        rng = generator(self._seed, Stream.PEOPLE_DAYS, day)
        alive = np.flatnonzero((self.traits.birth_day <= day) & (self.traits.death_day > day))
        sessions = rng.poisson(self._rate(alive, day))
        # Whoever joins, comes; those who were there at the start need not come on that very day.
        sessions = np.maximum(sessions, (self.traits.birth_day[alive] == day) & (day > 0))
        here = sessions > 0
        self._recent *= _RECENT_DECAY
        return PeopleDay(alive[here], sessions[here])

    def end(self, came: PeopleDay) -> None:
        """Remember who came; call after what they did was drawn from what was known before."""
        self._recent[came.person] += 1 - _RECENT_DECAY

    def adopters(self, came: PeopleDay, day: int, identified: Bools) -> list[Ints]:
        """Per feature of the plan: the positions in `came` of those who take it up on `day`, and remember it."""
        rng = generator(self._seed, Stream.PEOPLE_ADOPTION, day)
        found = []
        for index, effect in enumerate(self.plan.effects):
            open_ = (self.adopted_day[index, came.person] == NEVER) & identified
            hazard = (effect.hazard * self._pull(effect, came.person, day)).clip(0, 0.9)
            takes = open_ & (rng.random(len(open_)) < 1 - (1 - hazard) ** came.sessions)
            taken = np.flatnonzero(takes)
            gain = self._gain(effect, came.person[taken], day)
            self.true_gain[index] = np.concatenate([self.true_gain[index], gain])
            self.adopted_day[index, came.person[taken]] = day
            found.append(taken)
        return found

    def shown_arm(self, experiment: int, person: Ints, day: int, session_draw: Floats) -> Ints:
        """The arm that each session's person sees in an experiment, `NOBODY` where it does not show."""
        planned = self.experiments[experiment]
        if not planned.first_day <= day <= planned.last_day:
            return np.full(len(person), NOBODY)
        arm = self.arm[experiment, person]
        flips = self.is_double[experiment, person] & (session_draw < 0.5)
        arm = np.where(flips, (arm + 1) % len(planned.arms), arm)
        if planned.hidden_on:
            platform = catalogue.PLATFORMS.index(planned.hidden_on)
            hidden = (self.traits.platform[person] == platform) & (arm == len(planned.arms) - 1)
            arm = np.where(hidden, NOBODY, arm)
        return arm

    def expose(self, experiment: int, person: Ints, day: int) -> None:
        """Remember who saw an experiment on `day`."""
        first = person[self.exposed_day[experiment, person] == NEVER]
        self.exposed_day[experiment, first] = day

    def interest(self, person: Ints, day: int) -> Floats:
        """The passing interest of people on a day: a few days of it, then another."""
        block = generator(self._seed, Stream.PEOPLE_INTEREST, day // _INTEREST_DAYS)
        drawn = block.lognormal(-(_INTEREST_SIGMA**2) / 2, _INTEREST_SIGMA, self.plan.users)
        return np.asarray(drawn[person])

    def _rate(self, person: Ints, day: int) -> Floats:
        weekday = _WEEKDAY_USE[(self._first_weekday + day) % 7]
        rate = self._scale * self.keen[person] * self.interest(person, day) * weekday
        for index, effect in enumerate(self.plan.effects):
            if effect.effect:
                since = day - self.adopted_day[index, person]
                has = (self.adopted_day[index, person] != NEVER) & (since > 0) & (since <= EFFECT_DAYS)
                rate = rate * np.where(has, 1 + effect.effect, 1.0)
        for number, experiment in enumerate(self.experiments):
            gains = np.array([arm.return_effect for arm in experiment.arms])
            if gains.any():
                exposed = self.exposed_day[number, person]
                since = day - exposed
                has = (exposed != NEVER) & (since > 0) & (since <= EFFECT_DAYS)
                rate = rate * np.where(has, 1 + gains[self.arm[number, person]], 1.0)
        return np.asarray(rate)

    def _pull(self, effect: FeatureEffect, person: Ints, day: int) -> Floats:
        if effect.driver == "random":
            return np.ones(len(person))
        if effect.driver == "past":
            return np.asarray(0.4 + 3.0 * self._recent[person])
        if effect.driver == "motivation":
            return np.asarray(self.keen[person] ** 0.8)
        return np.asarray(self.interest(person, day) ** 1.2)

    def _gain(self, effect: FeatureEffect, person: Ints, day: int) -> Floats:
        """What taking the feature up on `day` truly adds to the chance to come within the next 7 days."""
        if not effect.effect:
            return np.zeros(len(person))
        quiet = np.zeros(len(person))
        for later in range(day + 1, day + 1 + _HORIZON_DAYS):
            quiet += self._rate(person, later) * (self.traits.death_day[person] > later)
        return np.asarray(np.exp(-quiet) - np.exp(-quiet * (1 + effect.effect)))


def _traits(n: int, days: int, rng: np.random.Generator) -> Users:
    present = round(n * _PRESENT_AT_START) if days > 1 else n
    birth = np.sort(np.concatenate([np.zeros(present, np.int64), 1 + np.arange(n - present) % max(1, days - 1)]))
    visits = rng.random(n) < np.where(birth > 0, _VISITOR_SHARE, 0.0)
    stay = rng.exponential(np.where(visits, _VISITOR_DAYS, _STAY_DAYS))
    drawn = draw_traits(n, rng)
    return Users(
        user=np.arange(n), birth_day=birth, death_day=birth + 1 + stay.astype(np.int64), activity=np.ones(n), **drawn
    )


def _inviters(traits: Users, keen: Floats, share: float, rng: np.random.Generator) -> Ints:
    """Who invited each person: somebody keen who was there before, `NOBODY` for those who came by themselves."""
    inviter = np.full(len(keen), NOBODY)
    invited = np.flatnonzero((traits.birth_day > 0) & (rng.random(len(keen)) < share))
    cumulative = np.cumsum(keen)
    there = np.searchsorted(traits.birth_day, traits.birth_day[invited])
    inviter[invited] = np.searchsorted(cumulative, rng.random(len(invited)) * cumulative[there - 1]).clip(max=there - 1)
    return inviter


def _assigned(seed: int, index: int, experiment: Experiment, n: int) -> Ints:
    draw = generator(seed, Stream.EXPERIMENTS, index).random(n)
    bounds = np.cumsum([arm.weight for arm in experiment.arms])[:-1]
    return np.asarray(np.searchsorted(bounds, draw, side="right"))
