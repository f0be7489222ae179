"""python data/pretrained/ship.py RUN [--half]: put a trained model here, perhaps in half precision, with how it was trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from microtensor.serialize import to_safetensors
from zoo.errors import UserError
from zoo.training.checkpoint import find
from zoo.training.manifest import Files


def main() -> None:
    """Write NAME.safetensors and NAME.json from the parameters that a run keeps for use."""
    half = sys.argv[2:] == ["--half"]
    if len(sys.argv) != 2 + half or sys.argv[1].startswith("-"):
        sys.exit("usage: python data/pretrained/ship.py RUN [--half]")
    try:
        run = find(sys.argv[1])
        model, _ = run.load()
        metrics = run.read_metrics()
    except UserError as error:
        sys.exit(f"ship.py: error: {error}")
    best = min(metrics, key=lambda m: m.get("validation_loss", m["loss"])) if model.recipe.keep_best else metrics[-1]
    here = Path(__file__).parent
    parameters = {name: array.astype(np.float16 if half else np.float32) for name, array in model.state_dict().items()}
    config = {**run.read_config(), "best": best, "seconds": metrics[-1]["seconds"]}
    files = {
        f"{run.name}.safetensors": to_safetensors(parameters, {"model": run.name}),
        f"{run.name}.json": (json.dumps(config, ensure_ascii=False, indent=1) + "\n").encode(),
    }
    Files(here, tuple(files)).write(files)
    print(f"Written: {here / run.name}.safetensors and .json")


if __name__ == "__main__":
    main()
