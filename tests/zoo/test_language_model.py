"""What the commands do, from Python: the methods of a LanguageModel, and zoo.train_model."""

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from commands import ROOT

import zoo
from zoo.errors import DataError, UsageError
from zoo.inference import decoder, fused
from zoo.language_model import LanguageModel
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.training_run import Stopped, choose_recipe

PROMPT = "the sea "


@pytest.fixture(scope="module")
def model(small_gpt):
    return zoo.load_model(small_gpt)


def lines(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# The same as the commands


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": 9, "seed": 3},
        {"tokens": 30, "temperature": 1.5, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.2},
        {"tokens": 12, "beams": 3},
        {"stop": ["is", "am"]},
    ],
)
def test_generate_is_the_command(model, small_gpt, python, tmp_path, settings):
    options = [
        word
        for name, value in settings.items()
        for each in (value if isinstance(value, list) else [value])
        for word in (f"--{name.replace('_', '-')}", each)
    ]
    (said,) = lines(python(tmp_path, "zoo.generate", small_gpt, "--prompt", PROMPT, "--json", *options))
    text = model.generate(PROMPT, **settings)
    assert {"prompt": PROMPT, "text": text, "continuation": text.continuation} == said
    assert "".join(model.stream(PROMPT, **settings)) == text == text.prompt + text.continuation == repr(text)
    assert isinstance(text, str) and text.prompt == PROMPT


def test_predict_is_the_command(model, small_gpt, python, tmp_path):
    done = python(tmp_path, "zoo.predict", small_gpt, PROMPT)
    prediction = model.predict(PROMPT)
    assert str(prediction) == done.stdout.rstrip("\n") and len(prediction) == 10
    assert list(prediction) == prediction.figures == lines(python(tmp_path, "zoo.predict", small_gpt, PROMPT, "--json"))
    assert prediction[0]["probability"] >= prediction[1]["probability"]
    assert model.predict(PROMPT, top=3).figures == prediction.figures[:3]


def test_evaluate_is_the_command(model, small_gpt, python, tmp_path):
    found = model.evaluate()
    assert str(found) == repr(found) == python(tmp_path, "zoo.evaluate", small_gpt).stdout.rstrip("\n")
    assert [found.figures] == lines(python(tmp_path, "zoo.evaluate", small_gpt, "--json"))
    other = tmp_path / "other.txt"
    other.write_text("so am i " * 30)
    assert (
        model.evaluate(other).loss == lines(python(tmp_path, "zoo.evaluate", small_gpt, "--json", "--data", other))[0]["loss"]
    )
    assert model.evaluate(other).loss != found.loss


def test_a_text_is_named_from_where_one_is(small_gpt, python):
    folder = small_gpt.parent.parent
    assert "On the held-out end of lines.txt:" in python(folder, "zoo.evaluate", "char_gpt").stdout
    assert f"On the held-out end of {folder / 'lines.txt'}:" in python(small_gpt, "zoo.evaluate", small_gpt).stdout


def test_a_conversation_is_evaluated_by_questions(tmp_path, monkeypatch):
    (tmp_path / "my.txt").write_text(">ping\n<pong\n\n>tick\n<tock\n\n" * 30)
    monkeypatch.chdir(tmp_path)
    small = {"width": 16, "heads": 2, "layers": 1, "context": 32, "batch_size": 8, "pretraining": 0}
    model = zoo.train_model("chat_gpt", data="my.txt", steps=3, **small)
    told = []
    found = model.evaluate(report=lambda sentence, figures: told.append((sentence, figures)))
    (asked,) = found.questions
    assert asked.asked == 60 and str(asked) in str(found)
    assert told == [
        (found.sentence, found.figures),
        (str(asked), {"questions": "Questions of the text", "asked": 60, "right": asked.right}),
    ]


def test_explain_is_the_command(model, small_gpt, python, tmp_path):
    explanation = model.explain(PROMPT)
    assert str(explanation) == python(tmp_path, "zoo.explain", small_gpt, PROMPT).stdout.strip("\n")
    assert explanation.figures == lines(python(tmp_path, "zoo.explain", small_gpt, PROMPT, "--json"))
    assert [step.figures["step"] for step in explanation] == list(range(1, len(explanation) + 1))
    assert explanation[3].figures == explanation.figures[2] and str(explanation[3]) == str(model.explain(PROMPT, step=3))
    assert len(model.explain(PROMPT, step=3)) == 1
    with pytest.raises(IndexError, match="no step 99"):
        explanation[99]
    untrained = model.explain(PROMPT, next="w", untrained=True)
    said = lines(python(tmp_path, "zoo.explain", small_gpt, PROMPT, "--next", "w", "--untrained", "--json"))
    assert untrained.figures == said and untrained.figures != model.explain(PROMPT, next="w").figures


def test_only_the_steps_that_are_looked_at_are_drawn(model, monkeypatch):
    from zoo.explain import backward

    monkeypatch.setattr(backward, "one_step", lambda *_: pytest.fail("drawn"))
    explanation = model.explain(PROMPT)
    assert "Step 1 of" in str(explanation[1])
    assert "Step 2 of" in str(next(iter(model.explain(PROMPT, step=2))))


def test_pictures_are_those_of_the_command(model, small_gpt, python, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    for what, *text in (("losses",), ("embeddings",), ("attention", PROMPT), ("probabilities", PROMPT)):
        assert python(tmp_path, "zoo.plot", what, small_gpt, *text, "--out", "theirs.svg").returncode == 0
        picture = model.plot(what, *text, out="ours.svg")
        assert picture.data == (tmp_path / "ours.svg").read_bytes() == (tmp_path / "theirs.svg").read_bytes()
        assert str(picture) == "Drawn: ours.svg" and picture._repr_png_() is None and picture._repr_svg_().startswith("<?xml")
        shown = model.plot(what, *text)
        assert shown.file is None and shown._repr_svg_() is None and shown._repr_png_()[0].startswith(b"\x89PNG")
    assert sorted(os.listdir(tmp_path)) == ["ours.svg", "theirs.svg"]


def test_chat_goes_on_until_it_is_reset(capsys):
    model = zoo.load_model("chat_gpt")
    assert model.chat("My name is Anna.") == "Nice to meet you, Anna!"
    assert model.chat("What is my name?") == "Your name is Anna."
    assert model.chat("☺") == "I can't read that." and "(I don't know ☺)" in capsys.readouterr().err
    assert model.chat("What is my name?") == "Your name is Anna."
    model.reset()
    assert "Anna" not in model.chat("What is my name?")


def test_the_methods_have_the_commands_defaults():
    from zoo import generate, predict
    from zoo.chat import __main__ as chat

    for parser, method in (
        (predict.make_parser(), LanguageModel.predict),
        (chat.make_parser(), LanguageModel.chat),
        (generate.make_parser(), LanguageModel.generate),
    ):
        parameters = inspect.signature(method).parameters
        for action in parser._actions:
            if action.dest in parameters and action.option_strings and action.dest not in ("prompt", "stop"):
                default = parameters[action.dest].default
                assert action.default == default or (action.default is None and f"(default: {default})" in action.help) or (
                    action.default is None and default in (None, 1.0)
                ), (method, action.dest)  # fmt: skip
    stream, generated = (inspect.signature(m).parameters for m in (LanguageModel.stream, LanguageModel.generate))
    assert stream == generated


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda m: m.generate(""), "the prompt '' holds no characters"),
        (lambda m: m.generate("the", tokens=-1), "--tokens: must be at least 0, not -1"),
        (lambda m: m.generate("the", stop=""), "--stop: needs a text"),
        (lambda m: m.generate("the", beams=2, top_k=3), "--beams draws nothing, so --top-k has nothing to decide"),
        (lambda m: m.generate("the", temperature=-1), "--temperature: must be a finite number"),
        (lambda m: m.stream("the", seed=-1), "--seed: must be at least 0"),  # at once, not when it is read
        (lambda m: m.predict("the", top=0), "--top: must be at least 1"),
        (lambda m: m.chat("hello"), "hasn't learned to converse"),
        (lambda m: m.explain("the", next="se"), "--next: one character"),
        (lambda m: m.explain("the", step=99), "no step 99"),
        (lambda m: m.explain("the", step=0), "no step 0"),
        (lambda m: m.explain("the", data_dir="nowhere/"), "no such data folder"),
        (lambda m: m.evaluate("nothing.txt"), "no such file"),
        (lambda m: m.plot("losse"), "did you mean losses"),
        (lambda m: m.plot("attention"), "attention needs a text"),
        (lambda m: m.plot("losses", "the"), "losses needs no text"),
        (lambda m: m.plot("embeddings", method="umap"), "--method: must be one of pca, tsne"),
        (lambda m: m.plot("losses", out="losses.gif"), "ends in .png or .svg"),
    ],
)
def test_what_cannot_be_meant(model, use, message, monkeypatch):
    monkeypatch.setenv("ZOO_DATA_DIR", "")  # (so that it is put back)
    if "data folder" in message:  # (only what the model learned from asks for it)
        model = zoo.load_model("char_gpt")
    with pytest.raises((UsageError, DataError), match=message):
        use(model)


# One decoder for many texts


def test_a_second_text_costs_no_second_comparison(small_gpt, monkeypatch):
    compared, pack = [], fused.FusedBlocks.read
    monkeypatch.setattr(decoder.FusedBlocks, "read", lambda model: compared.append(1) or pack(model))
    model = zoo.load_model(small_gpt)
    first = model.generate(PROMPT, tokens=9)
    assert model.generate(PROMPT, tokens=9) == first and model.generate("i am", tokens=3, beams=2) and len(compared) == 1


def test_a_model_that_changed_is_read_anew(small_gpt):
    model, greedy = zoo.load_model(small_gpt), {"tokens": 12, "temperature": 0}
    before = model.generate(PROMPT, **greedy)
    weight, head = model.model.token_embedding.weight, model.model.lm_head.forward
    weight.data = weight.data[::-1].copy()
    changed = model.generate(PROMPT, **greedy)
    assert changed != before
    weight.data = weight.data[::-1].copy()
    assert model.generate(PROMPT, **greedy) == before
    for block in model.model.blocks:
        block.attention.heads = 1
    assert model.generate(PROMPT, **greedy) == LanguageModel(model.model, model.tokenizer, "x", None).generate(PROMPT, **greedy)
    model.model.lm_head.forward = lambda x: -head(x)
    assert (
        model.generate(PROMPT, **greedy)
        == LanguageModel(model.model, model.tokenizer, "x", None).generate(PROMPT, **greedy)
        != before
    )


# Training


def test_train_model_is_the_command(tmp_path, python, monkeypatch, capsys):
    (tmp_path / "my.txt").write_text("the sun came up and the moon went down and the stars came out " * 9)
    monkeypatch.chdir(tmp_path)
    model = zoo.train_model("word_ngram", data=tmp_path / "my.txt", steps=30, learning_rate=0.2, out="ours")
    ours = capsys.readouterr()
    done = python(
        tmp_path, "zoo.train", "word_ngram", "--data", "my.txt", "--steps", 30, "--learning-rate", 0.2, "--out", "theirs"
    )
    assert ours.out == done.stdout and "Generated: " in ours.out
    assert ours.err.splitlines()[0] == done.stderr.splitlines()[0] and "Saved in ours after" in ours.err
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    again = zoo.load_model("ours")
    assert again.run == "ours" and model.run == os.path.join(".", "ours") and not model.model.training
    assert again.generate("the sun", temperature=0) == model.generate("the sun", temperature=0)
    assert "Drawn" in str(model.plot("losses", out="losses.png")) if "matplotlib" in sys.modules else True


def test_training_goes_on_and_keeps_what_was_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    zoo.train_model("word_meanpool", steps=50)
    zoo.train_model("word_meanpool", steps=60, resume=True)
    with pytest.raises(UsageError, match="has done all its 60 steps"):
        zoo.train_model("word_meanpool", resume=True)
    zoo.train_model("word_meanpool", steps=20)  # the folder is free again, though this process had it
    assert "The earlier run is kept in runs/word_meanpool-1" in capsys.readouterr().err
    assert sorted(os.listdir("runs")) == ["word_meanpool", "word_meanpool-1"]


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"stesp": 3}, "unknown setting 'stesp'; did you mean steps"),
        ({"steps": "3"}, "--steps: must be a whole number, not '3'"),
        ({"learning_rate": 10**400}, "--learning-rate: must be at most"),
        ({"preset": "nan"}, "did you mean nano"),
        ({"checkpoint_every": 0}, "--checkpoint-every: must be at least 1"),
        ({"out": ""}, "--out: needs the name of a folder"),
        ({"data": ""}, "--data: needs the name of a text file"),
        ({"data_dir": ""}, "--data-dir: needs the name of a folder"),
        ({"resume": True}, "no run folder"),
        ({"data": "nothing.txt"}, "no such file"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(tmp_path, monkeypatch, settings, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, DataError), match=error):
        zoo.train_model("char_gpt", **settings)
    assert not os.listdir(tmp_path)


def test_a_preset_a_saved_run_and_what_is_given():
    kind = model_class("char_gpt").recipe_class
    nano = make_recipe(kind, dict(kind.presets["nano"]))
    assert choose_recipe(kind, {}, "nano", {}) == nano
    assert choose_recipe(kind, {"steps": 7}, "nano", {}).steps == 7
    assert choose_recipe(kind, {"epochs": 2}, "nano", {}).steps is None
    saved = nano.to_dict()
    assert choose_recipe(kind, {"steps": 9}, None, saved) == make_recipe(kind, {**saved, "steps": 9})
    with pytest.raises(UsageError, match="--width: the saved run has"):
        choose_recipe(kind, {"width": nano.width + 2}, None, saved)


SCRIPT = """
import zoo
try:
    zoo.train_model("word_meanpool", steps=3_000_000, context=3)
except KeyboardInterrupt as stop:
    print(stop)
"""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_script_that_is_stopped(tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "examples" in process.stderr.readline()
    time.sleep(2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err, err
    assert "of 3000000, saved in runs/word_meanpool; go on with resume=True" in (out if number == signal.SIGINT else err)
    assert (tmp_path / "runs/word_meanpool/state.safetensors").exists()
    assert issubclass(Stopped, KeyboardInterrupt)


def in_a_thread(work):
    errors = []

    def run():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return errors


def test_in_a_thread_and_with_other_streams(tmp_path, monkeypatch, capsys):
    """(pytest's streams can't be reconfigured, as those of a notebook can't.)"""
    import runpy

    monkeypatch.chdir(tmp_path)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert in_a_thread(lambda: zoo.train_model("word_ngram", steps=20)) == []
    monkeypatch.setattr(sys, "argv", ["zoo.train", "word_ngram", "--steps", "20"])
    (error,) = in_a_thread(lambda: runpy.run_module("zoo.train", run_name="__main__"))
    assert isinstance(error, SystemExit) and error.code == 0
    assert capsys.readouterr().out.count("Generated: ") == 2
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]


def test_a_home_folder_is_known_by_its_sign(tmp_path, python):
    (tmp_path / "my.txt").write_text("the sun came up and the moon went down " * 9)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "elsewhere" / "cache")}
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def works(module, *arguments):
        done = python(folder, module, *arguments, **home)
        assert done.returncode == 0, done.stderr

    works("zoo.train", "word_ngram", "--steps", 20, "--out=~/run", "--data=~/my.txt")
    works("zoo.predict", "~/run", "the sun came")
    works("zoo.evaluate", "~/run", "--data=~/my.txt")
    works("zoo.compare", "word_ngram", "--width", 4, 8, "--steps", 5, "--out=~/compared", "--data=~/my.txt")
    works("zoo.dialogue", "--length", 9, "--out=~/dialogue.txt")
    assert sorted(os.listdir(tmp_path)) == ["compared", "dialogue.txt", "elsewhere", "my.txt", "run"] and os.listdir(
        folder
    ) in ([], ["cache"])
    done = python(folder, "zoo.train", "char_gpt", "--data-dir=~/nothing", **home)
    assert f"no such data folder: {tmp_path}/nothing" in done.stderr


def test_refusing_a_typo_loads_no_trainer(tmp_path):
    """(What stays out of the way of a short answer; numba is only imported with a kernel.)"""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "zoo.train", "charr"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert done.returncode == 2 and "zoo.registry" in loaded
    assert not loaded & {
        "zoo.training.trainer",
        "zoo.language_model",
        "zoo.explain.trace",
        "zoo.inference.decoder",
        "rich",
        "numba",
    }


def test_what_it_is_called(model, small_gpt):
    assert repr(model) == f"<LanguageModel {small_gpt}: CharGPT, {model.num_parameters():,} parameters, 13 characters>"
