"""The truth about people, features and experiments, and the experiments' definitions as a data root reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from quality_assets.domain.arrays import Ints
from quality_assets.simulate import writer
from quality_assets.simulate.people import NEVER, NOBODY, People
from quality_assets.simulate.people_plan import QUIZ, Experiment
from quality_assets.simulate.plan import SimulationPlan
from quality_assets.simulate.streams import Ids

PEOPLE_COLUMNS = ("user_id", "joined_on", "gone_on", "keenness", "invited_by")
EFFECT_COLUMNS = ("feature", "driver", "effect_on_rate", "adopters", "true_return_7d_effect")
ADOPTION_COLUMNS = ("feature", "user_id", "adopted_on")
EXPERIMENT_COLUMNS = (
    "experiment", "arm", "weight", "first_date", "last_date", "feature", "variants_from", "return_effect",
    "completion_effect", "crash_rate", "hidden_on", "double_share", "lost_event", "lost_share", "exposed",
)  # fmt: skip
EXPOSURE_COLUMNS = ("experiment", "user_id", "arm", "exposed_on", "sees_both")


def write_people_truth(people: People, plan: SimulationPlan, out: Path, lost: Ids) -> None:
    """Write people.csv, feature_effects.csv, adoptions.csv, experiments.csv, exposures.csv and lost_rows.csv.

    Beside them `definitions/experiments/NAME.yaml`, one per experiment, as a data root has them.
    """
    writer.write_table(out / "people.csv", PEOPLE_COLUMNS, _people_rows(people, plan))
    writer.write_table(out / "feature_effects.csv", EFFECT_COLUMNS, _effect_rows(people))
    writer.write_table(out / "adoptions.csv", ADOPTION_COLUMNS, _adoption_rows(people, plan))
    writer.write_table(out / "experiments.csv", EXPERIMENT_COLUMNS, _experiment_rows(people, plan))
    writer.write_table(out / "exposures.csv", EXPOSURE_COLUMNS, _exposure_rows(people, plan))
    writer.write_table(out / "lost_rows.csv", ("event_id",), ((f"{value:016x}",) for value in lost.tolist()))
    folder = out / "definitions" / "experiments"
    folder.mkdir(parents=True, exist_ok=True)
    for experiment in people.experiments:
        text = yaml.safe_dump(definition_of(experiment, plan), sort_keys=False)
        (folder / f"{experiment.name}.yaml").write_text(text, encoding="utf-8")


def definition_of(experiment: Experiment, plan: SimulationPlan) -> dict[str, object]:
    """An experiment of a plan as its definition would be written by whoever runs it."""
    on_quiz = experiment.feature == QUIZ
    primary = ["count:quiz_completed"] if on_quiz else ["return_7d"]
    return {
        "name": experiment.name,
        "owner": "camila.torres@example.com",
        "variants_from": f"properties.{experiment.property_key}" if experiment.property_key else "variant",
        "arms": {arm.name: arm.weight for arm in experiment.arms},
        "control": experiment.arms[0].name,
        "start": plan.date_of(experiment.first_day),
        "end": plan.date_of(experiment.last_day),
        "window": "7d",
        "metrics": {
            "primary": primary,
            "secondary": ["return_7d", "count:result_shared"] if on_quiz else [f"uses:{QUIZ}", "events"],
            "guardrail": ["crash_rate", "error_rate"],
        },
    }


def _user(number: int) -> str:
    return f"u{number:08d}"


def _dates(days: Ints, plan: SimulationPlan) -> list[str]:
    return [str(value) for value in np.datetime64(plan.start_date, "D") + days]


def _people_rows(people: People, plan: SimulationPlan) -> Iterator[Sequence[object]]:
    traits = people.traits
    joined, gone = _dates(traits.birth_day, plan), _dates(traits.death_day, plan)
    for number, (birth, death, keen, inviter) in enumerate(
        zip(joined, gone, people.keen.round(4).tolist(), people.inviter.tolist(), strict=True)
    ):
        yield _user(number), birth, death, keen, "" if inviter == NOBODY else _user(inviter)


def _effect_rows(people: People) -> Iterator[Sequence[object]]:
    for effect, gain in zip(people.plan.effects, people.true_gain, strict=True):
        yield effect.name, effect.driver, effect.effect, len(gain), round(float(gain.mean()), 5) if len(gain) else ""


def _adoption_rows(people: People, plan: SimulationPlan) -> Iterator[Sequence[object]]:
    for index, effect in enumerate(people.plan.effects):
        took = np.flatnonzero(people.adopted_day[index] != NEVER)
        for number, on in zip(took.tolist(), _dates(people.adopted_day[index, took], plan), strict=True):
            yield effect.name, _user(number), on


def _experiment_rows(people: People, plan: SimulationPlan) -> Iterator[Sequence[object]]:
    for index, planned in enumerate(people.experiments):
        seen = people.exposed_day[index] != NEVER
        source = f"properties.{planned.property_key}" if planned.property_key else "variant"
        for position, arm in enumerate(planned.arms):
            is_last = position == len(planned.arms) - 1
            faults = (planned.hidden_on, planned.double_share, planned.lost_event, planned.lost_share)
            yield (
                planned.name, arm.name, arm.weight, plan.date_of(planned.first_day), plan.date_of(planned.last_day),
                planned.feature, source, arm.return_effect, arm.completion_effect, arm.crash_rate,
                *(faults if is_last else ("", planned.double_share, "", 0.0)),
                int((seen & (people.arm[index] == position)).sum()),
            )  # fmt: skip


def _exposure_rows(people: People, plan: SimulationPlan) -> Iterator[Sequence[object]]:
    for index, planned in enumerate(people.experiments):
        seen = np.flatnonzero(people.exposed_day[index] != NEVER)
        days = _dates(people.exposed_day[index, seen], plan)
        rows = zip(seen.tolist(), people.arm[index, seen].tolist(), days, people.is_double[index, seen], strict=True)
        for number, arm, on, both in rows:
            yield planned.name, _user(number), planned.arms[arm].name, on, int(both)
