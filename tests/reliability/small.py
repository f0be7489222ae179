"""Small trainings to attack, and what is left of them."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np

from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Interrupted, Trainer

ROOT = Path(__file__).parent.parent.parent
RNG = np.random.default_rng(0)
TEXT = "\n".join(" ".join(RNG.choice(["the", "sea", "is", "wide", "and", "so", "am", "i"], 9)) for _ in range(100))
SETTINGS = {
    "width": 8, "heads": 2, "layers": 1, "context": 8, "batch_size": 4, "steps": 8, "dropout": 0.0, "evaluate_every": 2, "warmup": 2,
}  # fmt: skip
FILES = {"config.json", "metrics.jsonl", "model.safetensors", "state.safetensors", "manifest.json"}


def make_trainer(folder, **changes):
    """A trainer of a char_gpt of 1,000 parameters, whose text is where a resumed run finds it."""
    text = Path(folder).parent / "text.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(TEXT)
    recipe = make_recipe(model_class("char_gpt").recipe_class, {**SETTINGS, "data": str(text), **changes})
    tokenizer = recipe.make_tokenizer(lambda: TEXT)
    model = model_class("char_gpt")(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed))
    return Trainer(model, tokenizer, TEXT, RunFolder(folder, "char_gpt"))


def train(trainer, resuming=False, until=None):
    """Train to the end, or, as if Ctrl-C came then, up to a step."""
    step = trainer._one_step

    def one_step():
        if trainer.step + 1 == until:
            os.kill(os.getpid(), signal.SIGINT)
        return step()

    trainer._one_step = one_step
    trainer.folder.open_for_writing(resuming)
    try:
        if resuming:
            trainer.resume()
        trainer.run(lambda line, figures: None)
    except Interrupted:
        assert trainer.step == until
    finally:
        trainer.folder.close()
    return trainer


def content(folder):
    """The bytes of a run, file by file, as a reader has them; None where there is no run."""
    files = RunFolder(folder, "char_gpt").checkpoint.files
    if not files.exist():
        return None
    return {name: files.read(name, 2**30) for name in sorted(FILES - {"manifest.json"})}


def names(folder):
    """What lies in a folder, hidden files too."""
    return set(os.listdir(folder)) if folder.exists() else set()


def fresh(folder):
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
