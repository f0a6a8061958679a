"""The use case housing: the median value of houses in a census block, from its people, its houses and its place."""

from __future__ import annotations

from quality_assets.contracts.use_cases import HOUSING as CONTRACT
from quality_assets.contracts.use_cases import HOUSING_PREDICTIONS, HOUSING_TRAINING_SET
from quality_assets.domain.models.learning.formulas import Mean
from quality_assets.domain.models.learning.tabular import Candidate, TabularUseCase, View

HOUSING = TabularUseCase(
    contract=CONTRACT,
    training_set=HOUSING_TRAINING_SET,
    predictions=HOUSING_PREDICTIONS,
    views=(
        View(
            "all",
            (),
            (
                # Small trees that see half of the inputs at a split lean less on places that will not come again.
                Candidate(
                    "hist_gradient_boosting",
                    learner="hist_gradient_boosting",
                    settings={
                        "max_features": 0.5,
                        "max_leaf_nodes": 15,
                        "min_samples_leaf": 60,
                        "l2_regularization": 5.0,
                    },
                ),
                Candidate("gradient_boosting", learner="gradient_boosting", settings={"subsample": 0.5}),
                Candidate("linear", learner="linear"),
                Candidate("income_line", "baseline", learner="linear", inputs=("MedInc",)),
                Candidate("mean", "baseline", formula=Mean()),
            ),
        ),
    ),
    # Nobody asks for a block whose neighbours are known: whole areas are held out.
    splits=("spatial", "random"),
    place=("Latitude", "Longitude"),
)
