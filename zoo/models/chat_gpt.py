"""A GPT to talk with: the transformer of `char_gpt`, a quarter of its size, taught by conversations.

**From last time.** (The course, chapter 15, talks with it.) char_gpt writes on and on, because that is what it has read. To
make a chatbot of such a model nothing about it has to change, only what it reads:

    >Hello!
    <Hi there! How can I help you today?
    >what is a penguin
    <Penguins can't fly, but they swim very well.

A `>` marks what the user says, a `<` what the bot answers, an empty line the end of a conversation. Whoever wants an answer
writes a question, the end of the line and a `<`, lets the model guess what comes next, and stops it at the end of the line.
That is all there is to `python -m zoo.chat`. (Large chatbots have the same marks, as tokens of their own.)

**What it reads** is written by `python -m zoo.dialogue` out of `data/conversations/`: some hundred exchanges, each question in
many wordings, spellings and cases, with slips of the finger and words that change nothing, so that the model learns what
matters. In some the answer needs the turn before: a name, or what "they" means. And a fifth of all questions is beyond it, with
words that it hasn't seen or that nobody has, so that it learns to say that it doesn't know.

**What counts.** For the first 2,000 steps it guesses every letter that anybody says (*pretraining*): the words of the questions
are worth knowing. Then the questions are only read: their targets are IGNORE_INDEX, the loss is the mean over the bot's letters
alone, and the gradient comes from them. Large models are made into chatbots in the same two parts, and the second is called
supervised fine-tuning (Ouyang et al. 2022, arXiv:2203.02155). The loss falls at once when the second begins, as answers are
easier to guess than questions.

**What is kept.** The loss on held-out conversations is lowest before the end, but the answers need not be best there: in a
trial with an earlier recipe 81 % in new wordings were right where the loss was lowest, and 86 % at the end. A model that learns
on gets surer, also where it is wrong, and a loss punishes that more than it rewards a few more right answers. So the last
parameters are kept.

**Always new.** A pass over the text has six rounds over its conversations, and for each round the text is written anew, with
the next seed (`python -m zoo.dialogue --seed 1`): other wordings, other names. A text of a million letters that is read again
and again is learned by heart: in a trial, after 16 rounds over the same one, 99 % of its own questions were answered rightly,
but only 81 % of another text's that was written in the same way. (Now it is 98 %.) Besides, in one sequence of three every name
is changed, each vowel to another, each consonant to another, so that there are always names that nobody has heard of: to repeat
them, the model has to look how they are spelt. The last quarter of the rounds reads the first text again.

**Where it begins.** A sequence of 128 characters begins with a conversation. Where that doesn't fit, another begins with a
later question, since that is what is left in a long chat, whose oldest turns go first. Then the first answer in it doesn't
count, as it may be about what was said before, nor does a name that is no longer to be seen: what can't be known could only be
guessed.

**The head** is a matrix of its own here, not the table of embeddings.

    tokens 59 x 128 + positions 128 x 128 + 3 blocks of 198,272 + the last norm's 256 + head 128 x 59 = 626,560 numbers

**Start.** Embeddings and weights are larger at the start than char_gpt's (their standard deviation is about 1 / sqrt(128), so
that a sum over 128 of them is as large as each), and the positions begin as waves of many lengths (Vaswani et al. 2017): close
positions are then alike from the start, and "the letter before" is easily found. In a trial it was after 1,000 steps
where it otherwise was after 1,250.

**What it understands.** Nothing. It has learned which letters in a question point to which answer, and is right where new
wordings have the same ones. `python -m zoo.evaluate chat_gpt` asks it questions in wordings that were kept from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microtensor import nn
from microtensor.optim import warmup_cosine
from zoo.chat.batches import ConversationDataset
from zoo.chat.synthetic import CONTEXT, held_out_questions, strangers_questions, synthetic_conversations
from zoo.chat.template import Question, questions_in
from zoo.datasets.batches import Dataset
from zoo.errors import UsageError
from zoo.model import Description
from zoo.models import char_gpt
from zoo.options import option
from zoo.recipe import corpus_option
from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Recipe(char_gpt.Recipe):
    """The settings of chat_gpt: as char_gpt's, with other numbers."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    keep_best: ClassVar[bool] = False

    corpus: str | None = corpus_option("conversations")
    context: int = option(CONTEXT, "how many characters the model sees at most", at_least=1, at_most=2**16)
    layers: int = option(3, "how many blocks follow each other", at_least=1, at_most=1000)
    heads: int = option(4, "how many ways of looking back each block has; they share the width", at_least=1, at_most=1000)
    width: int = option(128, "how many numbers stand for a character", at_least=1, at_most=2**14)
    dropout: float = option(0.0, "the fraction of numbers dropped at random while learning", at_least=0, below=1)
    batch_size: int = option(32, "how many sequences a step learns from", at_least=1, at_most=10**9)
    steps: int | None = option(None, "how many times the parameters are changed", at_least=1, at_most=10**12)
    epochs: int | None = option(8, "how many times the text is gone through, instead of --steps", at_least=1, at_most=10**9)
    learning_rate: float = option(3e-3, "the highest learning rate", above=0, at_most=1e30)
    pretraining: int = option(2000, "for how many steps the user's words are guessed, too", at_least=0, at_most=10**12)
    weight_decay: float = option(0.01, "how strongly matrices are drawn towards 0", at_least=0, at_most=1e6)

    def fill_in(self) -> None:
        """Refuse other tokens than characters."""
        super().fill_in()
        if self.tokenizer in ("word", "bpe"):
            raise UsageError(
                f"--tokenizer: chat_gpt needs char, not {self.tokenizer}, as typos and names are changed letter by letter; "
                "char_gpt learns conversations in other tokens"
            )

    def questions(self, text: str) -> dict[str, list[Question]]:
        """A thousand questions of what it learned from; and, of the zoo's own conversations, those that were held out, and some
        of a stranger's."""
        found = {"Questions of the text": questions_in(text, 1000)}
        if self.own_text:
            found["Questions in wordings that it never saw"] = held_out_questions()
            found["Questions in a stranger's words"] = strangers_questions()
        return found

    def dataset(self, documents: list[np.ndarray], tokenizer: Tokenizer, every_token: bool) -> Dataset:
        """Sequences of conversations, of which the bot's words are to be guessed. Where they are the zoo's own, and all of them
        are learned from, each round reads new ones, until the last quarter reads these again."""
        if self.text.delimited:
            return super().dataset(documents, tokenizer, every_token)
        dataset = ConversationDataset(documents, self.context, tokenizer, self.pretraining)
        if self.own_text and self.data_fraction == 1:
            rounds = self.total_steps(len(dataset)) * self.batch_size / len(dataset.original.sequence_starts)
            dataset.tokens_of_round = lambda number: (
                tokenizer.encode(synthetic_conversations(number)) if number < 0.75 * rounds else None
            )
        return dataset

    def schedule(self, steps: int) -> Callable[[int], float]:
        """A rise from 0, then half a cosine to the power of 1.5, so that it falls earlier, down to the last learning rate."""
        wave = warmup_cosine(min(self.warmup, steps), steps, 0.0)
        return lambda step: max(wave(step) ** 1.5, self.min_learning_rate_ratio)


class ChatGPT(char_gpt.CharGPT):
    """tokens (batch, time) to logits (batch, time, vocabulary): a guess after every character."""

    recipe_class = Recipe
    description = Description(
        title="answers what you say", reference=(0.0053, 2440), sample_prompt=">Hello!\n<", sample_tokens=36,
        sample_temperature=0.0, max_new_tokens=100, next_command="python -m zoo.chat {run}",
    )  # fmt: skip
    chat = True
    init_std = 0.08

    recipe: Recipe

    def __init__(self, recipe: Recipe, vocabulary_size: int, rng: np.random.Generator) -> None:
        super().__init__(recipe, vocabulary_size, rng)
        self.position_embedding.load_state_dict({"weight": self.init_std * waves(recipe.context, recipe.width)})
        self.lm_head = nn.Linear(recipe.width, vocabulary_size, bias=False, init_std=self.init_std, rng=rng)


def waves(positions: int, width: int) -> np.ndarray:
    """The sines and cosines of waves from 6 to 1,257 positions long: float32 (positions, width)."""
    lengths = 200 ** np.linspace(0, 1, -(-width // 2))
    angles = np.arange(positions)[:, None] / lengths
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width].astype(np.float32)
