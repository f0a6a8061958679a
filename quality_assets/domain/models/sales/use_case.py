"""The use case sales: what an order line brings, from what is known with the order, with and without the price."""

from __future__ import annotations

from quality_assets.contracts.use_cases import SALES as CONTRACT
from quality_assets.contracts.use_cases import SALES_PREDICTIONS, SALES_TRAINING_SET
from quality_assets.domain.models.learning.formulas import Mean, PriceOrProduct, Product
from quality_assets.domain.models.learning.tabular import Candidate, RatioBand, TabularUseCase, View

_LIST_PRICE = Product("QUANTITYORDERED", "MSRP")
_PRICE = PriceOrProduct("QUANTITYORDERED", "PRICEEACH", "MSRP")
# What the ratio may hang on: the quantity is in the formula, and large ones lie beyond what trees have seen.
_OF_THE_RATIO = ("MSRP", "PRODUCTLINE", "MONTH_ID")
_RAW = (
    Candidate("linear", learner="linear"),
    Candidate("gradient_boosting", learner="gradient_boosting"),
    Candidate("hist_gradient_boosting", learner="hist_gradient_boosting", settings={"max_iter": 150}),
)

SALES = TabularUseCase(
    contract=CONTRACT,
    training_set=SALES_TRAINING_SET,
    predictions=SALES_PREDICTIONS,
    views=(
        View(
            "all",
            (),
            (
                Candidate("price_or_list_price", "base", formula=_PRICE),
                Candidate("price_or_ratio_boosting", formula=_PRICE, learner="gradient_boosting", inputs=_OF_THE_RATIO),
                *_RAW,
                Candidate("list_price", "baseline", formula=_LIST_PRICE),
                Candidate("mean", "baseline", formula=Mean()),
            ),
        ),
        View(
            "without PRICEEACH",
            ("PRICEEACH",),
            (
                Candidate("list_price", "base", formula=_LIST_PRICE),
                Candidate("ratio_boosting", formula=_LIST_PRICE, learner="gradient_boosting", inputs=_OF_THE_RATIO),
                *_RAW,
                Candidate("mean", "baseline", formula=Mean()),
            ),
        ),
    ),
    splits=("time", "rolling", "group", "random"),
    group="ORDERNUMBER",
    ratio_band=RatioBand("QUANTITYORDERED", "MSRP", "price of a piece ÷ MSRP"),
)
