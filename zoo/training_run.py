"""Training a model, from its name and the settings to what one has afterwards: for the command, a script and a notebook."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from zoo.columns import clip
from zoo.datasets.batches import PADDING
from zoo.datasets.corpus import use_data_folder
from zoo.datasets.split import MIN_TOKENS_TO_SPLIT
from zoo.errors import DataError, UsageError, shortened
from zoo.inference.decoder import Decoder
from zoo.inference.generation import encode_prompt, generate, likeliest, show_bars
from zoo.inference.sampling import Sampling
from zoo.language_model import LanguageModel
from zoo.model import Model
from zoo.options import dashed, preset
from zoo.recipe import Recipe, make_recipe, override
from zoo.registry import model_class
from zoo.reporter import Reporter
from zoo.tokenizers.tokenizer import decode_excerpt
from zoo.training.checkpoint import default_folder
from zoo.training.fine_tuning import Source, kept_record
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Interrupted

#: The prompt that is suggested is no longer, in columns.
LONGEST_PROMPT = 60
#: Of what the model wrote, so many characters are shown.
LONGEST_SAMPLE = 2000


class Stopped(KeyboardInterrupt):
    """Training was stopped, and what it had learned is saved.

    Args:
        sentence: at which step, and where it is saved.
        number: of the signal.
    """

    def __init__(self, sentence: str, number: int) -> None:
        super().__init__(f"{sentence}; go on with resume=True")
        self.sentence = sentence
        self.number = number


class TrainingRun:
    """The training of a model, prepared: all that can be refused beforehand has been checked.

    Args:
        name: the model.
        settings: of its recipe, those that are given.
        preset: settings that go together, by name.
        out: the run folder; `runs/NAME` if None.
        resume: go on with the run in the folder.
        checkpoint_every: save after every so many steps; once a minute if None.
        init_from: begin with the parameters of a trained model, by its name or its run folder.

    Raises UsageError for an unknown name or a setting that can't be meant, and DataError for a text or run that can't be used.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        preset: str | None = None,
        out: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_every: int | None = None,
        init_from: str | os.PathLike[str] | None = None,
    ) -> None:
        kind = model_class(name).recipe_class
        out = None if out is None else os.path.expanduser(out)
        if out == "":
            raise UsageError("--out: needs the name of a folder")
        if checkpoint_every is not None and checkpoint_every < 1:
            raise UsageError(f"--checkpoint-every: must be at least 1, not {checkpoint_every}")
        if resume and init_from is not None:
            raise UsageError("--init-from: a run that goes on has parameters of its own; leave out --init-from or --resume")
        self.folder = RunFolder(default_folder(name) if out is None else out, name)
        self.resuming = resume
        saved: Mapping[str, Any] = {}
        if resume:
            config = self.folder.checkpoint.read_config()
            saved, self.folder.init_from = self.folder.checkpoint.recipe(config).to_dict(), kept_record(config)
        self.source = None if init_from is None else Source(init_from, name)
        recipe = choose_recipe(kind, settings, preset, saved, self.source)
        self.name = name
        self.trainer = make_trainer(name, recipe, self.folder, checkpoint_every, self.source)
        #: How the commands name the run.
        self.run = name if out is None else str(self.folder.path) if os.sep in out else os.path.join(".", out)

    def train(self, reporter: Reporter) -> LanguageModel:
        """Train to the last step, telling how it goes and what came of it.

        Raises Stopped, a KeyboardInterrupt, after Ctrl-C (and SIGTERM and SIGHUP), once what was learned is saved; DataError
        when the loss is no longer a number; and UsageError for a run that has done all its steps.
        """
        trainer, folder = self.trainer, self.folder
        with self._folder_for_writing():
            if self.resuming:
                trainer.resume()
                if trainer.step >= trainer.steps and not trainer.owes_evaluation():
                    raise UsageError(f"--resume: {folder.path} has done all its {trainer.step} steps; give more with --steps")
            if self.resuming and folder.checkpoint.note():
                reporter.note(str(folder.checkpoint.note()))
            if self.source is not None:
                reporter.note(self.source.introduction(trainer.recipe, trainer.tokenizer))
            reporter.note(self._introduction())
            if trainer.unreached:
                reporter.note(self._warning())
            try:
                trainer.run(reporter.result)
            except Interrupted as stop:
                sentence = f"Stopped at step {trainer.step} of {trainer.steps}, saved in {folder.path}"
                raise Stopped(sentence, stop.number) from None
            except BaseException:
                folder.discard_if_empty()
                raise
            model = folder.checkpoint.load()[0] if trainer.best_step else trainer.model
            model.eval()
            self._show_results(model, reporter)
        return LanguageModel(model, trainer.tokenizer, self.run, folder.checkpoint)

    @contextmanager
    def _folder_for_writing(self) -> Iterator[None]:
        self.folder.open_for_writing(self.resuming)
        try:
            yield
        finally:
            self.folder.close()

    def _introduction(self) -> str:
        """What is trained, and on what: what was read, what of it was left out, and why."""
        trainer, tokenizer = self.trainer, self.trainer.tokenizer
        recipe, documents = trainer.recipe, trainer.documents
        counts = np.bincount(np.concatenate([*documents, np.zeros(0, np.int64)]))  # of each token
        tokens, distinct = int(counts.sum()), np.count_nonzero(counts)
        dropped = getattr(tokenizer, "dropped", None)
        about = [f"{distinct:,} distinct" + (f", without {dropped}" if dropped else "")]
        left_out = sum(part.left_out for part in (trainer.dataset, trainer.validation) if part is not None)
        if left_out:
            about.append(f"{left_out:,} of {len(documents):,} lines left out, with fewer than 2 {tokenizer.unit}")
        if recipe.data_fraction < 1:
            about.append(f"only the first {recipe.data_fraction:.3g} of what is for training is read")
        if trainer.validation is not None:
            part = "a random tenth of the lines" if recipe.text.delimited else "the last tenth"
            about.append(f"{part} is held out")
        elif tokens < MIN_TOKENS_TO_SPLIT:
            about.append(f"too short to hold any out: under {MIN_TOKENS_TO_SPLIT:,}")
        else:
            about.append("none of it is held out")
        return (
            f"{self.name}: {trainer.model.num_parameters():,} parameters, {len(trainer.dataset):,} {trainer.dataset.name} from "
            f"{tokens:,} {tokenizer.unit} ({'; '.join(about)})"
        )

    def _warning(self) -> str:
        """The names of the parameters that no gradient reaches."""
        names, more = self.trainer.unreached[:3], len(self.trainer.unreached) - 3
        which = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        return f"Warning: no gradient reaches {which}: it won't learn. Is a .data or .numpy() on the way, or isn't it used?"

    def _show_results(self, model: Model, reporter: Reporter) -> None:
        """The losses, and what the trained model can do."""
        trainer, tokenizer, recipe, about = self.trainer, self.trainer.tokenizer, model.recipe, model.description
        if trainer.best_step:
            figures = {"best_validation_loss": trainer.best, "best_step": trainer.best_step}
            kept = "which is kept" if recipe.keep_best else "but the last parameters are kept"
            best = f"{trainer.best:.4f}"
            if not trainer.characters:
                figures["best_bits_per_byte"] = trainer.best * trainer.bits_per_byte
                best += f" ({figures['best_bits_per_byte']:.3f} bits per byte)"
            reporter.result(f"Best validation loss: {best} after step {trainer.best_step}, {kept}", figures)
        steps = min(trainer.losses.maxlen or 0, trainer.steps)
        last = "epoch" if recipe.loss_window is None and steps == trainer.epoch_steps else f"{steps} steps"
        reporter.result(f"Mean loss of the last {last}: {trainer.loss:.4f}", {"final_loss": trainer.loss})
        for sentence, figures in recipe.summary(model, trainer.dataset):
            reporter.result(sentence, figures)
        for prompt in about.prompts:
            if self._own(prompt):
                found = likeliest(model, tokenizer, encode_prompt(model, tokenizer, prompt), 3)
                reporter.result("\n".join([f"After {prompt!r}:", *show_bars(found)]), {"context": prompt, "likeliest": found})
        tokens = self._sample_prompt(model)
        sampling, rng = Sampling(about.sample_temperature), np.random.default_rng(recipe.seed)
        generated = generate(Decoder(model), tokens, about.sample_tokens, sampling, rng)
        text = decode_excerpt(tokenizer, [*tokens, *generated])
        reporter.result(f"Generated: {shortened(text, LONGEST_SAMPLE)}", {"generated": text})

    def _sample_prompt(self, model: Model) -> list[int]:
        """The tokens that the model is let continue: its own prompt, or how an example begins."""
        if model.boundary is not None:
            return [model.boundary]
        recipe, dataset = model.recipe, self.trainer.dataset
        own = self._own(model.description.sample_prompt)
        if own:
            return own
        inputs, _ = dataset.batch(0, 1, recipe.seed)
        seen = inputs[0][: recipe.context if dataset.targets_per_example == 1 else 1]
        first: list[int] = seen[seen != PADDING].tolist()
        return first

    def _own(self, prompt: str | None) -> list[int]:
        """The tokens of a prompt of the model's own; none where it learned another text, or can't read it with other tokens."""
        if prompt is None or not self.trainer.recipe.own_text:
            return []
        try:
            tokens: list[int] = self.trainer.tokenizer.encode(prompt).tolist()
        except DataError:
            return []
        return tokens

    def prompt(self) -> str:
        """A prompt to try the trained model with: one of its own, or the first words of its text."""
        trainer = self.trainer
        if trainer.model.boundary is not None:
            return ""
        own = next((prompt for prompt in trainer.model.description.prompts if self._own(prompt)), None)
        if own is not None:
            return own
        beginnings = (trainer.tokenizer.decode(tokens[:LONGEST_PROMPT]) for tokens in trainer.documents)
        line = next(line for text in beginnings for line in text.split("\n") if line.strip())
        words = clip(" ".join(line.split()[:4]), LONGEST_PROMPT).removesuffix("…")
        return trainer.tokenizer.decode(trainer.tokenizer.encode(words))

    def saved(self) -> str:
        """Where the run is, and how long it took."""
        return f"Saved in {self.folder.path} after {_duration(self.trainer.seconds)}."

    def moved(self) -> str | None:
        """Where an earlier run went, if one had to make room."""
        return None if self.trainer.moved is None else f"The earlier run is kept in {self.trainer.moved}"


def train_model(
    name: str,
    *,
    preset: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    **recipe: Any,
) -> LanguageModel:
    """Train a model and keep it in a run folder: see `zoo.train_model`."""
    use_data_folder(data_dir)
    reporter = Reporter()
    run = TrainingRun(
        name, recipe, preset=preset, out=out, resume=resume, checkpoint_every=checkpoint_every, init_from=init_from
    )
    try:
        model = run.train(reporter)
    except Stopped as stop:
        if run.moved():
            reporter.note(str(run.moved()))
        if stop.number != signal.SIGINT:  # whoever sent it wants the process to end
            reporter.note(str(stop))
            raise SystemExit(128 + stop.number) from None
        raise
    reporter.note(run.saved())
    if run.moved():
        reporter.note(str(run.moved()))
    return model


def choose_recipe(
    kind: type[Recipe],
    settings: Mapping[str, Any],
    named: str | None,
    saved: Mapping[str, Any],
    source: Source | None = None,
) -> Recipe:
    """Make the recipe: the model's own, the saved run's, or that of fine-tuning a source; changed by a preset, and by the
    settings that are given.

    Raises UsageError for what can't be meant, and for a setting that the saved run, or the source's network, has otherwise."""
    given = override({} if named is None else preset(kind, named), settings)
    if given.get("data") is not None:
        path = os.fspath(given["data"])
        if not path:
            raise UsageError("--data: needs the name of a text file")
        given["data"] = os.path.abspath(os.path.expanduser(path))  # so that resuming finds it from any folder
        saved = {name: value for name, value in saved.items() if name != "corpus"}
    if source is not None:
        return source.make_recipe(given)
    for field, value in given.items():
        if field in saved and field not in ("steps", "epochs", "data") and saved[field] != value:
            raise UsageError(f"--{dashed(field)}: the saved run has {saved[field]}, not {value}; start a new run to change it")
    if "steps" in given or "epochs" in given:
        saved = {**saved, "steps": None, "epochs": None}
    return make_recipe(kind, {**saved, **given})


def _duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
