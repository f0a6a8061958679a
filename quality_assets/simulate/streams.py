"""Random streams of the simulator.

Every draw comes from a generator that is keyed by (seed, purpose, index), so that a day can be drawn without
the days before it and one kind of draw never shifts another. Add a new purpose at the END of `Stream`: the
numbers are part of what makes a seed reproducible. No global random state, here or anywhere in the package.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]

_MASK_64 = (1 << 64) - 1


class Stream(IntEnum):
    """What a random stream is used for."""

    PROFILE = 1
    RELEASES = 2
    INCIDENTS = 3
    COHORT = 4
    VOLUME = 5
    SESSIONS = 6
    EVENTS = 7
    OUTCOMES = 8
    INCIDENT_EFFECTS = 9
    ARRIVAL = 10
    DIRT = 11
    PEOPLE = 12
    PEOPLE_DAYS = 13
    PEOPLE_ADOPTION = 14
    PEOPLE_INTEREST = 15
    EXPERIMENTS = 16
    JOURNEYS = 17
    ARMS = 18
    ARM_FAULTS = 19
    LASTING = 20
    CHANGES = 21


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose; `index` is a day, a quarter or a platform, as the purpose asks."""
    return np.random.default_rng([seed, int(stream), index])


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return value ^ (value >> 31)


def unique_ids(seed: int, salt: int, day: int, count: int) -> Ids:
    """Return `count` 64-bit ids that look random and never repeat within a (seed, salt).

    The finaliser of splitmix64 (Steele, Lea, Flood 2014) is a bijection, so that distinct counters stay
    distinct.
    """
    start = (_mix(seed + 1) + _mix(salt + 1) + (day << 36)) & _MASK_64
    with np.errstate(over="ignore"):
        value = np.arange(count, dtype=np.uint64) + np.uint64(start)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
