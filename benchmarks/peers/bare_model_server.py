"""A model behind FastAPI as people write it in an afternoon: joblib, pydantic, one frame a request, `predict`.

`python bare_model_server.py FOLDER PORT`, where FOLDER has model.joblib of housing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    """A census block."""

    MedInc: float
    HouseAge: float
    AveRooms: float
    AveBedrms: float
    Population: float
    AveOccup: float
    Latitude: float
    Longitude: float


def main(folder: Path, port: int) -> None:
    """Answer until it is ended."""
    model = joblib.load(folder / "model.joblib")
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(row: Row) -> dict[str, float]:
        return {"prediction": float(model.predict(pd.DataFrame([row.model_dump()]))[0])}

    @app.post("/predict/batch")
    def batch(rows: list[Row]) -> list[float]:
        return [float(each) for each in model.predict(pd.DataFrame([row.model_dump() for row in rows]))]

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
