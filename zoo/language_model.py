"""A trained model with its tokenizer, and all that one does with it: what the commands do, as methods of the same names."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.chat.session import Conversation, right_answers, unreadable
from zoo.chat.template import USER, normalize
from zoo.datasets.batches import valid_targets
from zoo.datasets.corpus import prepare, read_text, shown, use_data_folder
from zoo.errors import DataError, UsageError, quoted
from zoo.explain.trace import Trace, what_follows
from zoo.inference.beam_search import beam_search
from zoo.inference.decoder import Decoder, from_boundary
from zoo.inference.documents import Known
from zoo.inference.generation import encode_prompt, generate, likeliest, text_pieces, turn_alphabet
from zoo.inference.sampling import Sampling
from zoo.model import Model
from zoo.plots.kinds import AXES, LOGS, METHODS, check_picture, picture_file
from zoo.plots.style import check_matplotlib
from zoo.progress import Progress
from zoo.recipe import make_recipe
from zoo.registry import build_model, list_models, model_class
from zoo.reporter import note
from zoo.results import Evaluation, Explanation, Generated, Picture, Prediction, Questions
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training import evaluation
from zoo.training.checkpoint import Checkpoint, find, is_chat
from zoo.untrusted import in_one_line

if TYPE_CHECKING:
    from zoo.chat.template import Question
    from zoo.datasets.batches import Dataset


class LanguageModel:
    """A model with its tokenizer. `zoo.load_model` and `zoo.train_model` make it.

    Args:
        model, tokenizer: what it is made of.
        run: the model's name or the run folder, as the commands take it.
        checkpoint: where it is kept; None for a model before its training.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, run: str, checkpoint: Checkpoint | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.run = run
        self.checkpoint = checkpoint
        self._decoder: tuple[Any, Decoder] | None = None
        self._conversation: Conversation | None = None

    @property
    def name(self) -> str:
        """The model's name, or that of its run folder."""
        return Path(self.run).name

    def num_parameters(self) -> int:
        """Count its parameters."""
        return self.model.num_parameters()

    def __repr__(self) -> str:
        tokens = f"{len(self.tokenizer.vocabulary):,} {self.tokenizer.unit}"
        return f"<LanguageModel {self.run}: {type(self.model).__name__}, {self.num_parameters():,} parameters, {tokens}>"

    # Text

    def generate(
        self,
        prompt: str,
        *,
        tokens: int | None = None,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        beams: int | None = None,
        stop: str | Iterable[str] = (),
    ) -> Generated:
        """Continue a text; returns it with its continuation.

        Args:
            prompt: what to continue; it may be empty for a model that writes documents, such as names.
            tokens: how many to add at most; as many as suit the model if None.
            temperature, top_k, top_p, min_p, repetition_penalty: how tokens are drawn (see `Sampling`).
            seed: chooses what is drawn.
            beams: draw nothing: the likeliest continuation as a whole, following so many at a time.
            stop: end before this text, or the first of these.

        Raises DataError for a prompt that is empty or can't be read, and UsageError for a setting that can't be meant.
        """
        given, *rest = self.stream(
            prompt, tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty, seed=seed, beams=beams, stop=stop,
        )  # fmt: skip
        documents = self.known_documents.marks(given + "".join(rest)) if self.model.boundary is not None else []
        return Generated(given, "".join(rest), documents)

    def stream(
        self,
        prompt: str,
        *,
        tokens: int | None = None,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        beams: int | None = None,
        stop: str | Iterable[str] = (),
    ) -> Iterator[str]:
        """Give the text of `generate` piece by piece, each as soon as it is there: the prompt, then what is added."""
        stop = [prepare(text) for text in ([stop] if isinstance(stop, str) else stop)]
        if "" in stop:
            raise UsageError("--stop: needs a text")
        for name, number, least in (("tokens", tokens, 0), ("seed", seed, 0), ("beams", beams, 1)):
            if number is not None and number < least:
                raise UsageError(f"--{name}: must be at least {least}, not {number}")
        sampling = Sampling(
            temperature, top_k, 1.0 if top_p is None else top_p, 0.0 if min_p is None else min_p, repetition_penalty
        )
        if beams is not None:
            drawn = {"temperature": 0.8, "top_k": None, "top_p": None, "min_p": None, "repetition_penalty": 1.0, "seed": 0}
            values = (temperature, top_k, top_p, min_p, repetition_penalty, seed)
            check_beams([name for (name, default), value in zip(drawn.items(), values, strict=True) if value != default])
        ids = self._encode(prompt)
        count = self.model.description.max_new_tokens if tokens is None else tokens
        if beams is not None:
            new = beam_search(self._reader(), ids, count, beams)
        else:
            new = generate(self._reader(), ids, count, sampling, np.random.default_rng(seed))
        given = self.tokenizer.decode(ids)
        if self.model.boundary is not None:  # (a newline is before the first document, but no part of the text)
            given = given.removeprefix("\n")
        return _chain(given, text_pieces(new, self.tokenizer, stop))

    @cached_property
    def known_documents(self) -> Known:
        """The documents of its corpus, such as names, by which those that it writes can be marked. Raises DataError when the
        corpus can't be had."""
        recipe, decode = self.model.recipe, self.tokenizer.decode
        documents = [self.tokenizer.encode(part) for part in recipe.documents(recipe.read_text())]
        training, held_out = (
            {decode(tokens).strip("\n") for tokens in part} for part in evaluation.parts(self.model, documents)
        )
        return Known(training, held_out)

    def predict(self, text: str, top: int = 10) -> Prediction:
        """Find the `top` likeliest tokens after a text, with their probabilities.

        Raises DataError for a text that is empty or can't be read.
        """
        if top < 1:
            raise UsageError(f"--top: must be at least 1, not {top}")
        return Prediction(likeliest(self.model, self.tokenizer, self._encode(text), top))

    def _encode(self, text: str) -> list[int]:
        """The tokens of a text that is given to the model. Of one that converses, what can't be read is told."""
        text = prepare(text)
        if self.model.chat and not text.startswith(USER):
            unknown = normalize(text, turn_alphabet(self.tokenizer))[1]
            if unknown:
                note(f"({unreadable(unknown)})")
        return encode_prompt(self.model, self.tokenizer, text)

    def _reader(self) -> Decoder:
        """A decoder for the model as it is now. It is kept, as a fused one is packed and compared with the model only once; a
        model that has changed since, say by more training, gets a new one."""
        state = _state(self.model)
        if self._decoder is None or self._decoder[0] != state:
            self._decoder = state, Decoder(self.model)
        return self._decoder[1]

    # Conversation

    def chat(self, text: str, *, temperature: float = 0.0, seed: int = 0) -> str:
        """Answer what somebody says, in the conversation so far; `reset()` begins a new one.

        Args:
            text: what is said.
            temperature: 0 takes the likeliest letter; higher is bolder.
            seed: chooses what is drawn in a conversation that begins.

        Raises UsageError for a model that hasn't learned to converse.
        """
        if self._conversation is None:
            self._conversation = self.conversation(temperature, seed)
        self._conversation.sampling = Sampling(temperature)
        said, remarks = self._conversation.hear(text)
        if remarks:
            note(f"({in_one_line('; '.join(remarks))})")
        return "".join(self._conversation.respond(said))

    def reset(self) -> None:
        """Forget what was said."""
        self._conversation = None

    def conversation(self, temperature: float = 0.0, seed: int = 0) -> Conversation:
        """Begin a conversation. Raises UsageError for a model that hasn't learned to converse."""
        if not self.model.chat:
            raise UsageError(f"{self.run} hasn't learned to converse; chat_gpt has: python -m zoo.chat")
        decoder = Decoder(self.model, fused=False)  # which compiles nothing, so the first answer comes at once
        rng = np.random.default_rng(seed)
        return Conversation(decoder, self.tokenizer, self.model.recipe.context, Sampling(temperature), rng)

    # How good it is

    def evaluate(
        self,
        data: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        report: Callable[[str, dict[str, Any]], None] = lambda sentence, figures: None,
    ) -> Evaluation:
        """Measure how well it foretells a text; a chat model is asked questions, too.

        Args:
            data: a file with a plain text, all of which is used; if None, what was held out of the model's own.
            data_dir: where tiny Shakespeare is looked for first.
            report: called with each sentence and its figures as soon as they are known.

        Raises DataError for a text that can't be had or has changed, and for a loss that is no number.
        """
        use_data_folder(data_dir)
        model, tokenizer = self.model, self.tokenizer
        text = read_text(os.fspath(data)) if data is not None else model.recipe.read_text()
        documents = [tokenizer.encode(part) for part in model.recipe.documents(text)]
        if data is not None:
            what, examples = os.fspath(data), evaluation.make_dataset(model, documents, tokenizer)
        else:
            if self.checkpoint is not None:
                self.checkpoint.check_text(text)
            training, held_out = evaluation.split(model, documents, tokenizer)
            examples = training if held_out is None else held_out
            if held_out is not None:
                text = "".join(map(tokenizer.decode, evaluation.parts(model, documents)[0]))  # what it learned from
            name, part = (
                shown(model.recipe.text.name) if model.recipe.data is not None else model.recipe.text.name,
                "tenth" if model.recipe.text.delimited else "end",
            )
            what = f"{name}, the text it learned from" if held_out is None else f"the held-out {part} of {name}"
        found = self._evaluate_on(what, examples)
        report(found.sentence, found.figures)
        if not math.isfinite(found.loss):
            raise DataError(f"the loss is {found.loss}; the model can't be used: train it again")
        for kind, questions in model.recipe.questions(text).items():
            answered = Questions(kind, len(questions), self._right_answers(questions))
            found.questions.append(answered)
            report(str(answered), {"questions": kind, "asked": answered.asked, "right": answered.right})
        return found

    def _evaluate_on(self, what: str, examples: Dataset) -> Evaluation:
        unit = self.tokenizer.unit
        count = sum(valid_targets(targets).size for _, targets in examples.in_order())
        with Progress(count, unit=unit.removesuffix("s")) as progress:
            loss = evaluation.evaluate(self.model, examples, progress.update)
            progress.update(count, loss, force=True)
        perplexity = math.exp(loss) if loss < 700 else math.inf
        bits = evaluation.bits_per_character_and_byte(loss, examples, self.tokenizer)
        name = self.name if self.checkpoint is None else self.checkpoint.name
        return Evaluation(name, what, loss, perplexity, *bits, count, unit)

    def _right_answers(self, questions: list[Question]) -> int:
        """Count the questions that are answered to the letter, if the likeliest letter is taken each time."""
        context, greedy = self.model.recipe.context, Sampling(0.0)
        conversation = Conversation(self._reader(), self.tokenizer, context, greedy, np.random.default_rng(0))
        with Progress(len(questions), unit="question", figure="right") as progress:
            return right_answers(conversation, questions, progress.update)

    # Looking inside

    def explain(
        self,
        text: str,
        next: str | None = None,
        step: int | None = None,
        untrained: bool = False,
        *,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Explanation:
        """Explain one prediction with all its numbers: from the text to the loss, and back.

        Args:
            text: what came before.
            next: the target, a token; if None, what follows the text where the model learned it, or else the likeliest.
            step: show one step only.
            untrained: as it was before training, when its numbers were random.
            data_dir: where tiny Shakespeare is looked for first.

        Raises DataError for a text that can't be read, and UsageError for a target or a step that can't be meant.
        """
        use_data_folder(data_dir)
        model = self.model
        if untrained and self.checkpoint is not None:
            model = build_model(self.checkpoint.name, model.recipe, len(self.tokenizer.vocabulary))
            model.chat, model.boundary = self.model.chat, self.model.boundary
        tokens = self._encode(text)
        trace = Trace(model, from_boundary(model, tokens), self._target(tokens, next, untrained, data_dir is not None))
        # A trained model learns as it did in its last step, an untrained one as in its first.
        return Explanation(trace, self.tokenizer, model.recipe.schedule(1000)(0 if untrained else 999), step)

    def _target(self, tokens: list[int], next: str | None, untrained: bool, needs_text: bool) -> int | None:
        """The token that comes next: what `next` says, or what follows in the text that the model learns from; else None."""
        if next is not None:
            found = self.tokenizer.encode(prepare(next)).tolist()
            if len(found) != 1:
                raise UsageError(f"--next: one {self.tokenizer.unit.removesuffix('s')}, not {quoted(next)}")
            return int(found[0])
        recipe = self.model.recipe
        try:
            text = recipe.read_text()
            if not untrained and self.checkpoint is not None:
                self.checkpoint.check_text(text)
            documents = [self.tokenizer.encode(part) for part in recipe.documents(text)]
        except DataError:  # a text that can't be had, or has changed, tells as little as one that doesn't hold these tokens
            if needs_text:  # (but whoever names a folder wants to know that it isn't one)
                raise
            return None
        return what_follows(documents, tokens)

    def plot(
        self,
        what: str,
        text: str | None = None,
        out: str | os.PathLike[str] | None = None,
        method: str = "pca",
        *,
        axis: str = "steps",
        log: str = "",
        words: bool | None = None,
    ) -> Picture:
        """Draw a picture, which a notebook shows.

        Args:
            what: "losses" of its training, "embeddings" as a map, "attention" or "probabilities" for a text.
            text: what the last two need.
            out: the .png or .svg file to keep it in.
            method: how embeddings are flattened, "pca" or "tsne".
            axis: what losses are drawn over, "steps", "share" (of the run's steps) or "seconds".
            log: the axes of losses that are logarithmic: "x", "y" or "xy".
            words: draw attention between words; if None, where the text is too long for its tokens.

        Raises UsageError for what can't be drawn of this model, or can't be installed as it is; and DataError.
        """
        wanted = check_picture(what)
        if ("TEXT" in wanted) != (text is not None):
            raise UsageError(f"{what} needs {'a text' if text is None else 'no text'}")
        for name, value, known in (("method", method, METHODS), ("axis", axis, AXES), ("log", log, LOGS)):
            if value not in known:
                raise UsageError(f"--{name}: must be one of {', '.join(filter(None, known))}, not {quoted(value)}")
        if out is not None:
            return self._draw(what, text, picture_file(out), method, axis, log, words)
        with tempfile.TemporaryDirectory() as folder:
            picture = self._draw(what, text, Path(folder) / f"{what}.png", method, axis, log, words)
            picture.file = None
            return picture

    def _draw(self, what: str, text: str | None, file: Path, method: str, axis: str, log: str, words: bool | None) -> Picture:
        try:
            return self._drawn(what, text, file, method, axis, log, words)
        except ImportError:
            check_matplotlib()  # raises where that is what is missing
            raise

    def _drawn(self, what: str, text: str | None, file: Path, method: str, axis: str, log: str, words: bool | None) -> Picture:
        if what == "losses":
            from zoo.plots.losses import draw_losses, read_metrics

            draw_losses([(self.run, read_metrics(self.run))], file, axis, log)
        elif what == "embeddings":
            from zoo.plots.embeddings import draw_embeddings

            draw_embeddings(self.name, self.model, self.tokenizer, method, file)
        else:
            from zoo.plots.attention import draw_attention
            from zoo.plots.probabilities import draw_probabilities

            tokens = from_boundary(self.model, self._encode(text or ""))
            if what == "attention":
                draw_attention(self.name, self.model, self.tokenizer, tokens, file, words)
            else:
                draw_probabilities(self.name, self.model, self.tokenizer, tokens, file)
        return Picture(file.read_bytes(), file, file.suffix.lower() == ".svg")


def load_model(name_or_run_folder: str | os.PathLike[str], last: bool = False) -> LanguageModel:
    """A trained model, by its name or from a run folder; with `last`, as it was after the last step."""
    run = os.fspath(name_or_run_folder)
    checkpoint = find(run)
    model = LanguageModel(*checkpoint.load(last), run, checkpoint)
    if checkpoint.note():
        note(str(checkpoint.note()))
    return model


def untrained_model(name_or_run_folder: str | os.PathLike[str]) -> LanguageModel:
    """A model before its first step: by the recipe of a run, or, by name, by the model's own."""
    run = os.fspath(name_or_run_folder)
    if run in list_models():
        recipe = make_recipe(model_class(run).recipe_class, {})
        tokenizer = recipe.make_tokenizer(recipe.read_text)
        model = build_model(run, recipe, len(tokenizer.vocabulary))
        model.boundary = recipe.boundary(tokenizer)
        return LanguageModel(model, tokenizer, run, None)
    checkpoint = find(run)
    config = checkpoint.read_config()
    tokenizer = checkpoint.tokenizer(config)
    model = build_model(checkpoint.name, checkpoint.recipe(config), len(tokenizer.vocabulary))
    model.chat, model.boundary = is_chat(config, tokenizer), model.recipe.boundary(tokenizer)
    return LanguageModel(model, tokenizer, run, None)


def check_beams(drawing: list[str]) -> None:
    """Raises UsageError for settings of how tokens are drawn, beside beams."""
    if drawing:
        name = drawing[0].replace("_", "-")
        raise UsageError(f"--beams draws nothing, so --{name} has nothing to decide; give one of the two")


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _state(model: Model) -> tuple[Any, ...]:
    """What a model computes with, to be compared: the bits of its parameters, and what its modules are and are set to."""
    parameters = tuple((name, p.shape, hash(p.data.tobytes())) for name, p in model.named_parameters())
    plain = (bool, int, float, str, type(None))
    settings = tuple(
        (path, type(module).forward, name, value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if name != "training" and (isinstance(value, plain) or name == "forward")
    )
    return parameters, settings
