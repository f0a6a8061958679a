"""What is told of models that people brought: a card like those of ours, contract, versions, releases, drift."""

from __future__ import annotations

from typing import Any

from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.read.models import instant, last_look, release_row
from quality_assets.settings import Settings
from quality_assets.stores import user_models as store
from quality_assets.stores.releases import release_log
from quality_assets.tables import brought_models
from quality_assets.tables.drift_reports import read_report

Answer = dict[str, Any]


def cards(settings: Settings) -> list[Answer]:
    """A card of every model that was brought; what is unknown of it is null."""
    return [card(settings, name) for name in brought_models.names(settings)]


def card(settings: Settings, name: str) -> Answer:
    """One of them; of one whose files are broken it says so."""
    unknown: Answer = {
        "of": "rows of its sample",
        "unit": None,
        "split": None,
        "figures": {},
    }
    current = in_use(release_log(settings).of(name))
    looked = last_look(read_report(settings, name), current.version if current is not None else None)
    shared = {
        "name": name, "brought": True, **looked,
        "release_seq": current.seq if current is not None else None, **unknown,
    }  # fmt: skip
    try:
        about = brought_models.about(settings, name)
    except (store.AlteredModelError, store.UnknownModelError) as error:
        nothing = dict.fromkeys(("predicts", "kind", "version", "since", "candidate", "on_sample"))
        return {**shared, **nothing, "versions": 0, "drift_words": str(error)}
    return {
        **shared, "predicts": about["contract"]["target"] or "what it learnt", "kind": about["kind"],
        "versions": about["versions"], "version": about["version"],
        "since": instant(current.at) if current is not None else about["deployed_at"],
        "candidate": about["learner"], "on_sample": about["on_sample"],
    }  # fmt: skip


def told_of(settings: Settings, name: str) -> Answer:
    """All that is told of one. Raises UnknownModelError, AlteredModelError."""
    about = brought_models.about(settings, name)
    versions = [
        {
            "version": each["version"], "created_at": each["deployed_at"], "actor": each["actor"],
            "candidate": each["learner"], "on_sample": each["on_sample"],
            "is_in_use": each["version"] == about["version"],
        }
        for each in store.about_versions(settings.models_dir, name)
    ]  # fmt: skip
    return {
        **card(settings, name), "contract": about["contract"], "inputs": about["contract"]["inputs"],
        "first": about["first"], "sample_rows": about["contract"]["rows"], "versions": versions,
        "releases": [release_row(each) for each in release_log(settings).of(name)],
    }  # fmt: skip
