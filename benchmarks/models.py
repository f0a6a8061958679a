"""How good the models are: risk, change detection and drift over fixed seeds, beside their bars.

`python -m benchmarks.models` prints every table, and writes them with `--out`. `benchmarks.models_risk`,
`benchmarks.models_detection`, `benchmarks.models_incidents`, `benchmarks.models_truth`, `benchmarks.models_cards` and
`benchmarks.models_verdicts` say how each figure is made. Takes some half an hour with all seeds. Not part of the test
suite.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.models_cards import run_cards
from benchmarks.models_detection import FIRST_SEED, Figure, run_detection, run_drift
from benchmarks.models_incidents import run_incidents
from benchmarks.models_risk import run_risk, run_scale, summary
from benchmarks.models_truth import SEEDS, run_truth
from benchmarks.models_verdicts import run_verdicts

# Figure, how it is told, bar in words, least, most.
RISK_BARS: tuple[tuple[str, str, str, float, float], ...] = (
    ("forest_gain_persistence", "any day: PR-AUC ÷ persistence, forest", "", float("-inf"), float("inf")),
    ("forest_gain", "any day: PR-AUC ÷ best baseline, forest", "≥ 1.10", 1.10, float("inf")),
    ("any_gain", "any day: PR-AUC ÷ best baseline, best candidate", "≥ 1.10", 1.10, float("inf")),
    ("any_brier_skill", "any day: Brier skill, forest", "≥ .20", 0.20, float("inf")),
    ("any_ece", "any day: calibration error, forest", "≤ .05", float("-inf"), 0.05),
    ("any_precision_at_k", "any day: precision at 5, forest", "", float("-inf"), float("inf")),
    ("onset_lift", "onset: PR-AUC ÷ base rate, forest", "", float("-inf"), float("inf")),
    ("lead_latency_creep", "creeps: median lead in days", "≥ 2", 2.0, float("inf")),
    ("warned_latency_creep", "creeps: share warned of", "", float("-inf"), float("inf")),
    ("champion_gain_chart", "any day: PR-AUC ÷ the chart, model in use", "", float("-inf"), float("inf")),
    ("champion_brier_skill", "any day: Brier skill, model in use", "≥ .25", 0.25, float("inf")),
    ("champion_ece", "any day: calibration error, model in use", "≤ .04", float("-inf"), 0.04),
    ("null_has_onset", "permuted labels: onset shown", "≤ .05", float("-inf"), 0.05),
    ("permuted_lift", "permuted labels: PR-AUC ÷ base rate", "≤ 1.25", float("-inf"), 1.25),
)


def risk_figures(rows: pd.DataFrame) -> list[Figure]:
    """The rows of `run_risk` as figures with their bars, which hold for the mean over seeds."""
    spread = summary(rows)
    figures = []
    for name, label, bar, least, most in RISK_BARS:
        mean = float(spread.loc[name, "mean"])
        figures.append(Figure(label, mean, float(spread.loc[name, "std"]), bar, least <= mean <= most if bar else None))
    return figures


def as_table(title: str, figures: Sequence[Figure]) -> str:
    """Figures as a Markdown table."""
    lines = [f"### {title}", "", "| figure | mean | sd over seeds | bar | |", "|---|---:|---:|---|---|"]
    for figure in figures:
        verdict = "" if figure.holds is None else "holds" if figure.holds else "**missed**"
        lines.append(f"| {figure.name} | {figure.mean:.3f} | {figure.spread:.3f} | {figure.bar} | {verdict} |")
    return "\n".join(lines)


def main(
    seeds: Annotated[int, typer.Option(min=2, help="How many fixed seeds.")] = 12,
    trials: Annotated[int, typer.Option(min=1, help="Simulated days a seed, of each drift figure.")] = 60,
    scale: Annotated[bool, typer.Option(help="Also time and memory at 2,000 features and 365 days.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for models.md and models.json.")] = None,
) -> None:
    """Measure, print, and write."""
    chosen, later = range(1, seeds + 1), range(FIRST_SEED, FIRST_SEED + seeds)
    sections: dict[str, list[Figure]] = {}
    for title, run in (
        ("Risk: 40 features × 180 days", lambda: risk_figures(run_risk(chosen))),
        ("Change detection", lambda: run_detection(later)),
        ("Incidents in simulated logs", lambda: run_incidents(later)),
        ("Held against the injected faults", lambda: run_truth(later[: max(SEEDS, seeds // 2)])),
        ("Cards of a morning", lambda: run_cards(later)),
        ("Real or measured, and how it ended", lambda: run_verdicts(later[: max(SEEDS, seeds // 2)])),
        ("Drift", lambda: run_drift(later, trials)),
    ):
        sections[title] = run()
        typer.echo(as_table(title, sections[title]) + "\n")
    sizes = run_scale() if scale else {}
    for name, value in sizes.items():
        typer.echo(f"{name}: {value:,.1f}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "models.md").write_text(
            "\n\n".join(as_table(t, f) for t, f in sections.items()) + "\n", encoding="utf-8"
        )
        content = {title: [asdict(figure) for figure in figures] for title, figures in sections.items()}
        (out / "models.json").write_text(json.dumps({**content, "scale": sizes}, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    typer.run(main)
