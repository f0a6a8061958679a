"""Who uses the product: users with a birth, a death, a habit, a device and a patience with updates.

Users come in cohorts, one a day, each from its own random stream. What they do in a session lives in
`telemetry`.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.simulate import catalogue
from quality_assets.simulate.streams import Stream, generator

EVENTS_PER_USER_DAY = 8
NEW_USER_SHARE_PER_DAY = 0.012
_SHORT_STAY_SHARE = 0.3
_SHORT_STAY_DAYS = 3.0
_LONG_STAY_DAYS = 120.0
_UPDATE_LAG_DAYS = (5.0, 6.0, 0.6)
_FIRST_DAY_BOOST = 3.0


@dataclass(frozen=True)
class Users:
    """Users as parallel arrays; codes point into the catalogue.

    birth_day and death_day (exclusive) count from the start; activity is a relative frequency of sessions
    (Pareto: a few heavy users, many light ones); update_lag_days is how long a user stays behind a release.
    """

    user: Ints
    birth_day: Ints
    death_day: Ints
    activity: Floats
    country: Ints
    platform: Ints
    device: Ints
    update_lag_days: Floats


def cohort(seed: int, day: int, size: int, first_user: int) -> Users:
    """Draw the users who join on `day`; day 0 is everyone who was there at the start."""
    rng = generator(seed, Stream.COHORT, day)
    stays_short = rng.random(size) < (_SHORT_STAY_SHARE if day else 0.0)
    stay_days = rng.exponential(np.where(stays_short, _SHORT_STAY_DAYS, _LONG_STAY_DAYS))
    platform = rng.choice(len(catalogue.PLATFORMS), size, p=catalogue.PLATFORM_SHARES)
    shares = np.array([country.share for country in catalogue.COUNTRIES])
    device = _device(platform, rng.random(size))
    return Users(
        user=np.arange(first_user, first_user + size),
        birth_day=np.full(size, day),
        death_day=day + 1 + stay_days.astype(np.int64),
        activity=np.minimum((1 - rng.random(size)) ** (-1 / 1.3), 40.0),
        country=rng.choice(len(shares), size, p=shares / shares.sum()),
        platform=platform,
        device=device,
        update_lag_days=rng.exponential(np.array(_UPDATE_LAG_DAYS)[platform]),
    )


def draw_traits(size: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what does not change of `size` users: country, platform, device and patience with updates."""
    shares = np.array([country.share for country in catalogue.COUNTRIES])
    platform = rng.choice(len(catalogue.PLATFORMS), size, p=catalogue.PLATFORM_SHARES)
    return {
        "country": rng.choice(len(shares), size, p=shares / shares.sum()),
        "platform": platform,
        "device": _device(platform, rng.random(size)),
        "update_lag_days": rng.exponential(np.array(_UPDATE_LAG_DAYS)[platform]),
    }


def _device(platform: Ints, draw: Floats) -> Ints:
    on_web = platform == 2
    device = np.where(on_web, np.where(draw < catalogue.PHONE_SHARE_OF_WEB, 0, 2), 0)
    return np.where(~on_web & (draw < catalogue.TABLET_SHARE_OF_APPS), 1, device)


class Population:
    """All users up to a day; grows as later days are asked for."""

    def __init__(self, seed: int, events_per_day: int, growth_per_day: float) -> None:
        self._seed = seed
        self._growth_per_day = growth_per_day
        self._start_size = max(20, events_per_day // EVENTS_PER_USER_DAY)
        self._users = cohort(seed, 0, self._start_size, 0)
        self._last_day = 0

    def active(self, day: int) -> tuple[Users, Floats]:
        """Return the users alive on `day` and the relative frequency of each one's sessions on it."""
        self._grow_to(day)
        users = self._users
        alive = np.flatnonzero((users.birth_day <= day) & (users.death_day > day))
        alive = alive if len(alive) else np.arange(len(users.user))
        present = _take(users, alive)
        is_new = (present.birth_day == day) & (day > 0)
        return present, present.activity * np.where(is_new, _FIRST_DAY_BOOST, 1.0)

    def _grow_to(self, day: int) -> None:
        if day <= self._last_day:
            return
        cohorts, first_user = [self._users], len(self._users.user)
        for joining_day in range(self._last_day + 1, day + 1):
            expected = self._start_size * NEW_USER_SHARE_PER_DAY * (1 + self._growth_per_day) ** joining_day
            # The size is spread over the days without a draw, so that a small population grows evenly too.
            size = int(expected * (joining_day + 1)) - int(expected * joining_day)
            cohorts.append(cohort(self._seed, joining_day, size, first_user))
            first_user += size
        self._users = Users(**{f.name: np.concatenate([getattr(c, f.name) for c in cohorts]) for f in fields(Users)})
        self._last_day = day


def _take(users: Users, index: Ints) -> Users:
    return Users(**{f.name: getattr(users, f.name)[index] for f in fields(Users)})
