"""What the methods of a LanguageModel return: text to read in a script, in a REPL and in a notebook, and the figures behind it,
as `--json` prints them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zoo.untrusted import shown

if TYPE_CHECKING:
    from zoo.explain.screen import Screen
    from zoo.explain.trace import Trace
    from zoo.tokenizers.tokenizer import Tokenizer


class Readable:
    """A result that shows itself as its text: `print` gives it, and so do a REPL and a notebook."""

    def __repr__(self) -> str:
        return shown(str(self))

    def _repr_html_(self) -> str:
        return _set_in_html(str(self))


class Generated(str):
    """A text that a model continued: a str, which a REPL shows as it would be printed.

    Args:
        prompt: what was given, as the tokenizer reads it; the text begins with it.
        continuation: what the model added.
        documents: of a model that writes documents, such as names, those that are finished, each with its mark: "in training",
            "held out" or "new". {"document": "emma", "mark": "in training"}
    """

    prompt: str
    continuation: str
    documents: list[dict[str, str]]

    def __new__(cls, prompt: str, continuation: str, documents: list[dict[str, str]]) -> Self:  # noqa: D102 (the class says it)
        text = super().__new__(cls, prompt + continuation)
        text.prompt, text.continuation, text.documents = prompt, continuation, documents
        return text

    def __repr__(self) -> str:
        return shown(str(self))


class Prediction(Readable):
    """The likeliest next tokens, in order. `prediction[0]["token"]` is the likeliest, and has a "probability" too.

    Args:
        figures: for each token {"token": "a", "probability": 0.9}.
    """

    def __init__(self, figures: list[dict[str, Any]]) -> None:
        self.figures = figures

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.figures[index]

    def __len__(self) -> int:
        return len(self.figures)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.figures)

    @property
    def lines(self) -> list[str]:
        """A line with a bar for each token."""
        from zoo.inference.generation import show_bars

        return show_bars(self.figures)

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, repr=False)
class Questions:
    """How many questions of a kind a chat model answered to the letter."""

    questions: str
    asked: int
    right: int

    def __str__(self) -> str:
        return f"{self.questions}: {self.right:,} of {self.asked:,} answered rightly ({self.right / self.asked:.1%})"


@dataclass(frozen=True, repr=False)
class Evaluation(Readable):
    """How well a model foretells a text."""

    model: str
    #: Which text it was.
    text: str
    #: The mean loss, in nats a token; e^loss, among how many equally likely tokens it would be as unsure; and the loss by what
    #: models with other tokens can be compared by.
    loss: float
    perplexity: float
    bits_per_character: float
    bits_per_byte: float
    #: How many tokens the text has, and what they are.
    tokens: int
    unit: str
    #: Of a chat model that has questions to be asked: how it answered each kind.
    questions: list[Questions] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of the text."""
        return {name: value for name, value in asdict(self).items() if name not in ("unit", "questions")}

    @property
    def sentence(self) -> str:
        """The figures of the text, to be read."""
        return (
            f"On {self.text}: {self.tokens:,} {self.unit}\nloss {self.loss:.4f} nats, perplexity {self.perplexity:.4g}, "
            f"{self.bits_per_character:.3f} bits per character, {self.bits_per_byte:.3f} bits per byte"
        )

    def __str__(self) -> str:
        return "\n".join([self.sentence, *map(str, self.questions)])


class Explanation(Readable):
    """One prediction in all its numbers, step by step; nothing is computed for a step before it is looked at.

    `explanation[i]` is step i of the prediction, counted from 1 as on the screen: its text, and the figures.

    Args:
        trace: the prediction.
        tokenizer: names its tokens.
        factor: the factor of the learning rate for the step of learning that it shows.
        step: show this one only; all if None.

    Raises UsageError where there is no such step.
    """

    def __init__(self, trace: Trace, tokenizer: Tokenizer, factor: float, step: int | None = None) -> None:
        from zoo.errors import UsageError

        self.trace, self.tokenizer, self.factor = trace, tokenizer, factor
        self.count = len(self._plain)
        if step is not None and not 1 <= step <= self.count:
            raise UsageError(f"--step: there are {self.count} steps, no step {step}")
        self.shown = range(1, self.count + 1) if step is None else [step]

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, step: int) -> ExplainedStep:
        if step not in self.shown:
            raise IndexError(f"no step {step}; shown are {self.shown[0]} to {self.shown[-1]}")
        return self._draw(step, self._plain, False)

    def __iter__(self) -> Iterator[ExplainedStep]:
        return self.steps()

    def steps(self, colour: bool = False) -> Iterator[ExplainedStep]:
        """The steps that are shown, each drawn when it is asked for, with the colours of a terminal or without."""
        screens = self._coloured if colour else self._plain
        return (self._draw(step, screens, colour) for step in self.shown)

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The figures of each step that is shown."""
        return [step.figures for step in self]

    def _draw(self, step: int, screens: list[Screen], colour: bool) -> ExplainedStep:
        from zoo.columns import paragraph
        from zoo.explain.terminal import Terminal

        screen = screens[step - 1]
        lines, figures = screen.draw()
        title = paragraph(f"Step {step} of {self.count}: {screen.title}")
        text = "\n".join(["", *map(Terminal(colour).strong, title), "", *lines])
        return ExplainedStep(text, {"step": step, "steps": self.count, "title": screen.title, **figures})

    @cached_property
    def _plain(self) -> list[Screen]:
        return self._screens(False)

    @cached_property
    def _coloured(self) -> list[Screen]:
        return self._screens(True)

    def _screens(self, colour: bool) -> list[Screen]:
        from zoo.explain.explanation import explain
        from zoo.explain.screen import View
        from zoo.explain.terminal import Terminal

        return explain(View(self.trace, self.tokenizer, Terminal(colour)), self.factor)

    def __str__(self) -> str:
        return "\n".join(step.text for step in self).removeprefix("\n")

    def _repr_html_(self) -> str:
        return _set_in_html("\n".join(step.text for step in self.steps(colour=True)).removeprefix("\n"))


@dataclass(frozen=True, repr=False)
class ExplainedStep(Readable):
    """One step of an explanation: its text, and its figures."""

    text: str
    figures: dict[str, Any]

    def __str__(self) -> str:
        return self.text.removeprefix("\n")


class Picture:
    """A picture that a notebook shows.

    Args:
        data: the bytes of the file.
        file: where it is kept, if it is.
        svg: whether the bytes are an SVG; a PNG otherwise.
    """

    def __init__(self, data: bytes, file: Path | None, svg: bool) -> None:
        self.data, self.file, self.svg = data, file, svg

    @property
    def figures(self) -> dict[str, Any]:
        """Where the picture is."""
        return {"file": None if self.file is None else str(self.file)}

    def __str__(self) -> str:
        return "A picture; out=FILE keeps it in a file" if self.file is None else f"Drawn: {self.file}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        # (150 pixels an inch in the file, and 96 on a page.)
        width = int.from_bytes(self.data[16:20])
        return None if self.svg else (self.data, {"width": width * 96 // 150})

    def _repr_svg_(self) -> str | None:
        return self.data.decode() if self.svg else None


#: The escape sequences of `zoo.explain.terminal`: bold, one of the 256 colours, and the end of either.
_STYLE = re.compile(r"\033\[(1|38;5;(\d+)|0)m")


def _set_in_html(text: str) -> str:
    """A text of fixed width, with the colours that it has for a terminal."""

    def tag(match: re.Match[str]) -> str:
        if match[1] == "0":
            return "</span>"
        return f'<span style="{f"color: {_colour(int(match[2]))}" if match[2] else "font-weight: bold"}">'

    return f'<pre style="line-height: 1.25">{_STYLE.sub(tag, html.escape(text, quote=False))}</pre>'


def _colour(number: int) -> str:
    """One of a terminal's 256 colours, 16 to 255, as HTML writes it: a cube of six shades each, then greys."""
    if number >= 232:
        return f"#{10 * (number - 232) + 8:02x}" + f"{10 * (number - 232) + 8:02x}" * 2
    shades = [0, 95, 135, 175, 215, 255]
    number -= 16
    return "#" + "".join(f"{shades[part]:02x}" for part in (number // 36, number // 6 % 6, number % 6))
