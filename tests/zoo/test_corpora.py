"""Corpora by name, and documents between newlines: what is held out, what a model is shown, how it writes them."""

import json

import numpy as np
import pytest
from commands import one_line_error

import zoo
from zoo.datasets.batches import PADDING, DocumentDataset, WindowDataset
from zoo.datasets.corpora import CORPORA
from zoo.datasets.split import random_split
from zoo.errors import DataError, UsageError
from zoo.inference.decoder import Decoder, from_boundary
from zoo.inference.documents import Known
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.training_run import TrainingRun, choose_recipe

#: Of 1,000 documents. (A run that was begun with an earlier version has learned from the others.)
FIRST_HELD_OUT = [949, 429, 132, 772, 801, 300, 995, 205]
#: A model of each kind, in small, and its settings: windows, sequences, and what was made for another text.
MODELS = {
    "char_mlp": {"hidden": 8, "steps": 20},
    "char_meanpool": {"width": 4, "steps": 20, "batch_size": 64},
    "char_rnn": {"layers": 1, "width": 8, "steps": 2, "batch_size": 4, "dropout": 0.0},
    "char_gpt": {"layers": 1, "heads": 2, "width": 8, "steps": 2, "batch_size": 4, "dropout": 0.0},
    "wavenet": {"cycles": 1, "doublings": 3, "width": 8, "skip_width": 8, "steps": 2, "batch_size": 4},
    "mamba": {"layers": 1, "width": 8, "states": 4, "steps": 2, "batch_size": 4},
    "chat_gpt": {"layers": 1, "heads": 2, "width": 8, "steps": 2, "batch_size": 4},
}


def prepared(folder, name, **settings):
    return TrainingRun(name, settings, out=str(folder / "run")).trainer


def test_the_names():
    names = CORPORA["names"].read().split("\n")
    assert len(names) == 32_033 and names[0] == "emma" and max(map(len, names)) == 15
    assert set("".join(names)) | {"\n"} == set(CORPORA["names"].alphabet)


def test_a_random_tenth_is_held_out_always_the_same():
    documents = [np.full(3, i) for i in range(1000)]
    training, held_out = ([int(d[0]) for d in part] for part in random_split(documents))
    assert (len(training), len(held_out)) == (900, 100) and sorted(training + held_out) == list(range(1000))
    assert held_out[:8] == FIRST_HELD_OUT and 350 < np.mean(held_out) < 650
    longer = [np.full(3 + i % 5, i) for i in range(1000)]  # other tokens hold out the same documents
    assert [int(d[0]) for d in random_split(longer)[1]] == held_out


@pytest.mark.parametrize("name", MODELS)
def test_every_letter_of_a_name_and_its_end_is_learned(tmp_path, name):
    trainer = prepared(tmp_path, name, corpus="names", **MODELS[name])
    names, decode = CORPORA["names"].read().split("\n"), trainer.tokenizer.decode
    written = sum(len(n) + 1 for n in names)
    seen = [sum(int((t != -100).sum()) for _, t in part.in_order()) for part in (trainer.dataset, trainer.validation)]
    assert sum(seen) == written and abs(seen[1] / written - 0.1) < 0.003
    assert trainer.dataset.left_out == 0 and len(trainer.tokenizer.vocabulary) == 27
    inputs, targets = next(trainer.validation.in_order())
    boundary = trainer.model.boundary
    assert decode([boundary]) == "\n"
    assert "".join(map(decode, inputs[0][inputs[0] != PADDING][None]))[0] == "\n"
    if targets.ndim == 1:  # windows: the first tells the first letter, and of all the first is the newline
        row = np.flatnonzero((inputs != PADDING).sum(axis=1) == 1)[1]
        assert inputs[row, -1] == boundary and targets[row - 1] == boundary


def test_windows_from_the_start_of_each_document():
    windows = WindowDataset([np.array([0, 7, 8, 9, 0]), np.array([0, 5, 0])], 3, "tokens", from_start=True)
    assert windows.inputs.tolist() == [
        [-1, -1, 0], [-1, 0, 7], [0, 7, 8], [7, 8, 9], [-1, -1, 0], [-1, 0, 5],
    ]  # fmt: skip
    assert windows.targets.tolist() == [7, 8, 9, 0, 5, 0]


def test_any_model_learns_from_any_corpus_that_suits_it(tmp_path):
    for corpus in ("verses", "phrases", "sentences", "conversations"):
        trainer = prepared(tmp_path, "char_gpt", corpus=corpus, **MODELS["char_gpt"])
        assert isinstance(trainer.dataset, DocumentDataset) == (corpus in ("phrases", "sentences"))
        assert trainer.model.boundary is None and trainer.recipe.to_dict()["corpus"] == corpus
    assert prepared(tmp_path, "word_ngram", corpus="verses").dataset.left_out == 0
    with pytest.raises(DataError, match="every line of the text is too short: it has 1 word"):
        prepared(tmp_path, "word_ngram", corpus="names")


def test_one_text_is_enough(tmp_path, python):
    (tmp_path / "my.txt").write_text("some text of mine\n" * 30)
    done = python(tmp_path, "zoo.train", "char_mlp", "--corpus", "names", "--data", "my.txt")
    one_line_error(done, "zoo.train", "--corpus and --data: give one of the two", code=2)
    done = python(tmp_path, "zoo.train", "char_mlp", "--corpus", "nmes")
    one_line_error(done, "zoo.train", "--corpus: must be one of shakespeare, names", code=2)
    assert "names" in python(tmp_path, "zoo.train", "char_mlp", "--help").stdout


def test_the_corpus_is_recorded_and_older_runs_go_on(tmp_path, python):
    settings = ("--hidden", 4, "--batch-size", 64, "--out", "run")
    done = python(tmp_path, "zoo.train", "char_mlp", "--corpus", "phrases", "--steps", 4, *settings)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    assert config["recipe"]["corpus"] == "phrases" and config["recipe"]["data"] is None
    again = python(tmp_path, "zoo.train", "char_mlp", "--resume", "--steps", 6, *settings)
    assert again.returncode == 0 and "Step 6/6" in again.stdout, again.stderr
    other = python(tmp_path, "zoo.train", "char_mlp", "--resume", "--corpus", "verses", "--steps", 8, "--out", "run")
    one_line_error(other, "zoo.train", "--corpus: the saved run has phrases", code=2)
    # Before corpora had names, a run without a text of the user's had its model's own.
    kind = model_class("char_gpt").recipe_class
    assert make_recipe(kind, {"data": None}).corpus == "shakespeare"
    mine = make_recipe(kind, {"data": "my.txt"})
    assert mine.corpus is None and mine.text.name == "my.txt" and not mine.own_text
    with pytest.raises(UsageError, match="one of the two"):
        make_recipe(kind, {"data": "my.txt", "corpus": "names"})


def test_an_own_run_goes_on_with_its_text_elsewhere(tmp_path, python):
    (tmp_path / "a.txt").write_text("some text of mine\n" * 30)
    (tmp_path / "b.txt").write_text("some text of mine\n" * 30)
    settings = ("--hidden", 4, "--out", "run")
    assert python(tmp_path, "zoo.train", "char_mlp", "--data", "a.txt", "--steps", 2, *settings).returncode == 0
    again = python(tmp_path, "zoo.train", "char_mlp", "--resume", "--data", "b.txt", "--steps", 4, "--out", "run")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]["corpus"] is None


def test_a_recipe_of_the_old_kind_is_told_how(tmp_path, python):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom zoo.datasets.corpus import Corpus\nfrom zoo.recipe import Recipe\n"
        "from zoo.model import Model\n@dataclass(frozen=True, kw_only=True)\nclass R(Recipe):\n"
        "    corpus = Corpus('verses.txt')\nclass M(Model):\n    recipe_class = R\n"
    )
    done = python(tmp_path, "zoo.train", "mine", ZOO_MODELS=str(tmp_path))
    one_line_error(done, "zoo.train", "mine.py: R.corpus must name a text", 'corpus_option("verses")', code=2)


# Writing


#: Those that are trained, to write: each keeps something else of what it has read.
KEEPERS = ("char_mlp", "char_rnn", "wavenet", "char_gpt", "mamba")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Models that have learned from names, a little."""
    folder = tmp_path_factory.mktemp("names")
    return {name: zoo.train_model(name, corpus="names", out=folder / name, **MODELS[name]) for name in KEEPERS}


@pytest.mark.parametrize("name", KEEPERS)
def test_what_comes_before_a_document_has_no_say(learned, name):
    model, tokenizer = learned[name].model, learned[name].tokenizer
    long, short = tokenizer.encode("\nemma\nol"), tokenizer.encode("\nol")
    assert from_boundary(model, long) == short.tolist()
    for pieces in ([long], [long[:3], long[3:]], [[t] for t in long]):
        decoder = Decoder(model)
        for piece in pieces:
            logits = decoder.read(piece)
        np.testing.assert_array_equal(logits, Decoder(model).read(short))
    # And a prompt stands after a newline, whether it is typed or not.
    assert str(learned[name].predict("em")) == str(learned[name].predict("\nem")) == str(learned[name].predict("ava\nem"))
    assert str(learned[name].predict("em")) != str(learned[name].predict("xem"))


@pytest.mark.parametrize("name", KEEPERS)
def test_documents_that_are_written_are_marked(learned, name):
    model = learned[name]
    text = model.generate("em", tokens=300)
    assert text.startswith("em") and text.prompt == "em" and text.count("\n") > 3
    assert [d["document"] for d in text.documents] == [line for line in text.split("\n")[:-1] if line]
    assert model.generate("", tokens=0) == "" and model.generate("emma\n", tokens=0).documents == [
        {"document": "emma", "mark": model.known_documents.mark("emma")}
    ]
    known = model.known_documents  # (2,539 names stand in the list twice)
    assert (len(known.training), len(known.held_out), len(known.training | known.held_out)) == (26_748, 3_181, 29_494)
    assert {known.mark(name) for name in known.training} == {"in training"}


def test_marks():
    known = Known({"emma"}, {"ava"})
    assert known.marks("emma\nava\n\nzyx\nem") == [
        {"document": "emma", "mark": "in training"},
        {"document": "ava", "mark": "held out"},
        {"document": "zyx", "mark": "new"},
    ]
    for pieces in (["emma\nav", "a\n\nem"], list("emma\nava\n\nem")):
        shown = "".join(known.marked(pieces))
        assert [line.split(maxsplit=1) for line in shown.split("\n")] == [
            ["emma", "in training"],
            ["ava", "held out"],
            [],
            ["em"],
        ]


def test_marks_on_screen_and_as_json(learned, python, tmp_path):
    run = learned["char_mlp"].run
    lines = python(tmp_path, "zoo.generate", run, "--prompt", "", "--tokens", 80).stdout.split("\n")
    assert all(line.endswith(("in training", "held out", "new")) for line in lines[:-2] if line)
    done = python(tmp_path, "zoo.generate", run, "--prompt", "", "--tokens", 80, "--json")
    figures = json.loads(done.stdout)
    assert figures["documents"] and {d["mark"] for d in figures["documents"]} <= {"in training", "held out", "new"}
    assert "".join(d["document"] for d in figures["documents"]) in figures["text"].replace("\n", "")
    assert "the held-out tenth of names.txt" in python(tmp_path, "zoo.evaluate", run).stdout
    assert "\\n" in python(tmp_path, "zoo.explain", run, "em").stdout


def test_other_models_need_a_prompt(small_gpt, python):
    done = python(small_gpt, "zoo.generate", str(small_gpt), "--prompt", "")
    one_line_error(done, "zoo.generate", "holds no characters", code=1)
    done = python(small_gpt, "zoo.generate", str(small_gpt), "--prompt", "the", "--tokens", 3, "--json")
    assert "documents" not in json.loads(done.stdout)


def test_a_text_of_ones_own_with_a_preset_that_names_a_corpus(tmp_path):
    (tmp_path / "my.txt").write_text("ann\nbob\n" * 30)
    kind = model_class("wavenet").recipe_class
    own = choose_recipe(kind, {"data": str(tmp_path / "my.txt")}, "names", {})
    assert own.corpus is None and own.data == str(tmp_path / "my.txt") and own.width == 62
    other = choose_recipe(kind, {"corpus": "shakespeare", "epochs": 1}, "names", {})
    assert other.corpus == "shakespeare" and other.steps is None and other.epochs == 1
    assert choose_recipe(kind, {}, "names", {}).corpus == "names"
