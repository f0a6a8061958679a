"""What to simulate of people: features that change who comes back or do not, experiments, and what is wrong with them.

Values and their validation only. Who the people are lives in `people`, what they do in `journeys`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Driver = Literal["random", "past", "motivation", "interest"]
"""What makes people take up a feature: nothing, how often they came lately, what they are like, a passing mood."""
DRIVERS: tuple[str, ...] = get_args(Driver)
EFFECT_DAYS = 28
"""How long a feature, or an arm, changes how often somebody comes."""
QUIZ = "Quiz"
INVITES = "Invites"


@dataclass(frozen=True)
class FeatureEffect:
    """A feature that people take up one by one. `effect` is what it does to how often they come: 0.4 = 40 % more.

    `hazard` is the chance to take it up in a session, for a person in the middle; `driver` is who takes it up sooner.
    """

    name: str
    driver: Driver
    effect: float = 0.0
    hazard: float = 0.03

    def __post_init__(self) -> None:
        if self.driver not in DRIVERS:
            raise ValueError(f"feature {self.name!r}: driver must be one of {', '.join(DRIVERS)}, not {self.driver!r}")
        if not self.effect > -1 or not 0 < self.hazard < 1:
            raise ValueError(f"feature {self.name!r}: effect must be above -1 and hazard between 0 and 1")


@dataclass(frozen=True)
class Arm:
    """An arm: its weight, and what it truly does.

    `return_effect` and `completion_effect` are relative changes of how often its people come and of how likely they
    finish the quiz; `crash_rate` is the share of its events that crash on top of what would.
    """

    name: str
    weight: float
    return_effect: float = 0.0
    completion_effect: float = 0.0
    crash_rate: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """An experiment over days `first_day` to `last_day` (from 0, inclusive), and what is planted in it.

    Its arms stand in the events of `feature`, of all features where that is empty; in `variant`, or in the property of
    that name. `hidden_on` is a platform on which the last arm never shows, so that its people are missing;
    `double_share` of the people see both arms; of the last arm's `lost_event`, `lost_share` arrive broken.
    """

    name: str
    first_day: int
    last_day: int
    arms: tuple[Arm, ...]
    feature: str = ""
    property_key: str = ""
    hidden_on: str = ""
    double_share: float = 0.0
    lost_event: str = ""
    lost_share: float = 0.0

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or abs(sum(arm.weight for arm in self.arms) - 1) > 1e-9:
            raise ValueError(f"experiment {self.name!r}: needs two arms or more, whose weights add up to 1")
        if not 0 <= self.first_day <= self.last_day:
            raise ValueError(f"experiment {self.name!r}: last_day must not lie before first_day, nor that before 0")


@dataclass(frozen=True)
class PeoplePlan:
    """How many people there are over all days, the features that they take up one by one, and the experiments.

    `experiments` None: those of `default_experiments`. `invited_share` of those who join later were invited.
    """

    users: int
    effects: tuple[FeatureEffect, ...] = (
        FeatureEffect("Price watch", "random", 0.6),
        FeatureEffect("Gift finder", "random"),
        FeatureEffect("Shared lists", "past"),
        FeatureEffect("Mood board", "motivation", 0.6),
        FeatureEffect("Style notes", "motivation"),
        FeatureEffect("Daily deal", "interest"),
    )
    experiments: tuple[Experiment, ...] | None = None
    invited_share: float = 0.15
    quiz_share: float = 0.12

    def __post_init__(self) -> None:
        if not 1 <= self.users < 100_000_000:
            raise ValueError(f"users must be 1 to 99999999, not {self.users}")

    def experiments_of(self, days: int) -> tuple[Experiment, ...]:
        """The experiments of a plan of so many days; those that begin later do not take place."""
        chosen = default_experiments(days) if self.experiments is None else self.experiments
        return tuple(experiment for experiment in chosen if experiment.first_day < days)


def default_experiments(days: int) -> tuple[Experiment, ...]:
    """One of each kind: true effects, an arm missing on a platform, both arms seen, loss in one arm, still running."""
    start, length = days // 4, max(7, min(28, days // 3))
    ended = start + length - 1
    half = (Arm("control", 0.5), Arm("test", 0.5))
    return (
        Experiment(
            "quiz_steps", start, ended, (Arm("control", 0.5), Arm("short", 0.5, 0.0, 0.18)), feature=QUIZ
        ),
        Experiment("home_layout", start, ended, (Arm("control", 0.5), Arm("cards", 0.5, 0.35, 0.0))),
        Experiment("new_badge", start, ended, half, hidden_on="Android"),
        Experiment("greeting", start, ended, half, property_key="greeting_test", double_share=0.15),
        Experiment(
            "quiz_result", ended + 8, days + 20, (Arm("control", 0.5), Arm("story", 0.5, 0.0, 0.05)), feature=QUIZ,
            lost_event="quiz_completed", lost_share=0.06,
        ),
        Experiment("calm_mode", max(0, days - 10), days + 20, (Arm("control", 0.5), Arm("calm", 0.5, 0.1, 0.0))),
    )  # fmt: skip
