"""The models, one file each: a lesson, a recipe, and a network.

Files of one's own can lie elsewhere: `ZOO_MODELS` names their folder (or several, parted as in `PATH`), and every command then
knows them by name, too. Importing a model runs its file.
"""

import os

#: The lessons in the course's order. Others come after them, by name.
LESSONS = (
    "bigram", "char_meanpool", "word_meanpool", "word_ngram", "char_mlp", "char_rnn", "wavenet", "char_gpt", "modern_gpt",
    "chat_gpt", "mamba",
)  # fmt: skip

__path__ += [folder for folder in os.environ.get("ZOO_MODELS", "").split(os.pathsep) if folder]
