"""What all commands share: texts that begin with a dash, advice that fits, and messages that can be read."""

import importlib
import re

import pytest
from commands import one_line_error

import zoo
from zoo import console
from zoo.cli import Parser, typed
from zoo.errors import UsageError, UserError, quoted, shortened
from zoo.registry import model_class
from zoo.train import make_parser as train_parser
from zoo.untrusted import LONGEST_LINE

TEXTS = ("-", "-hello", "--", "---", "--- the", "--hello", "-5", "--=", "-h ello", "--prompting")


def parser(command):
    """A command's parser, with the options of a model's recipe where it has those."""
    module = importlib.import_module(console.module(command))
    if command == "train":
        return train_parser(model_class("char_gpt"))
    return (
        module.make_parser(model_class("char_gpt").recipe_class, "char_gpt") if command == "compare" else module.make_parser()
    )


def filled(made, text):
    """A command line with a text for every word that the command needs, and what follows from it."""
    words = [a for a in made._actions if not a.option_strings and a.nargs is None]
    return ["char_gpt" if action.metavar == "MODEL" else text for action in words]


@pytest.mark.parametrize("command", console.COMMANDS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_may_begin_with_a_dash(command, text):
    made = parser(command)
    required = ["--prompt", "a"] if command == "generate" else []
    words = ["attention", "char_gpt", "the"] if command == "plot" else filled(made, "the")
    tried = 0
    for action in made._actions:
        if action.option_strings and action.nargs in (None, "+") and action.type is None and not action.choices:
            name = action.option_strings[0]
            found = getattr(made.parse([*words, *required, name, text, "--debug"]), action.dest)
            if text != "--" or action.nargs is None:  # (among several values, that ends them)
                assert text in (found if isinstance(found, list) else [found]), (name, found)
            tried += 1
    assert tried or command in ("predict", "chat", "verify")
    if words[-1:] == ["the"] and text != "--":
        for order in ([*words[:-1], text, *required, "--debug"], [*required, "--debug", *words[:-1], text]):
            found = vars(made.parse(order))
            assert text in found.values() or text in found["names"]


@pytest.mark.parametrize("command", console.COMMANDS)
def test_a_misspelt_option_is_none(command):
    words = ["attention", "char_gpt", "the"] if command == "plot" else filled(parser(command), "the")
    with pytest.raises(UsageError, match="unknown option --debgu; did you mean --debug"):
        parser(command).parse([*words, "--debgu"])


def test_an_option_is_no_value():
    with pytest.raises(UsageError, match="--prompt: expected one argument; .* write --prompt=NAME; see"):
        parser("generate").parse(["char_gpt", "--prompt", "--tokens", "5"])
    assert parser("generate").parse(["char_gpt", "--prompt=--tokens"]).prompt == "--tokens"
    assert parser("predict").parse(["char_gpt", "--", "--top"]).text == "--top"
    assert parser("compare").parse(["char_gpt", "--width", "2", "4", "--data", "-a", "b"]).data == ["-a", "b"]
    assert parser("compare").parse(["char_gpt", "--data", "a", "-b", "--json"]).data == ["a", "-b"]


def test_what_is_quoted_is_short():
    assert shortened("a" * 60) == "a" * 60 and shortened("ab" * 40) == "ab" * 18 + "a..." + "ab" * 10
    assert quoted("x\n" * 1000).count("...") == 1 and len(quoted("x" * 10**6)) < 70 and quoted(5) == "5"
    assert len(str(UserError("y" * 10**6))) == LONGEST_LINE


LONG = "w" * 100_000


@pytest.mark.parametrize(
    "command, arguments",
    [
        ("train", [LONG[:300]]),
        ("train", ["char_meanpool", "--out", LONG[:300], "--steps", "1"]),
        ("train", ["char_meanpool", "--resume", "--out", LONG]),
        ("train", ["char_meanpool", "--steps", LONG]),
        ("train", ["char_meanpool", "--pooling", LONG]),
        ("train", ["char_meanpool", "--preset", LONG]),
        ("train", ["char_meanpool", LONG]),
        ("train", ["char_meanpool", f"--{LONG}"]),
        ("train", ["char_meanpool", "--data", LONG]),
        ("train", ["char_meanpool", "--data-dir", LONG, "--data", LONG]),
        ("generate", [LONG[:300], "--prompt", "a"]),
        ("generate", [LONG, "--prompt", "a"]),
        ("generate", ["word_meanpool", "--prompt", "a", "--top-k", LONG]),
        ("predict", ["char_gpt", "9" * 100_000]),
        ("evaluate", ["char_gpt", "--data", LONG]),
        ("explain", ["char_gpt", "the", "--next", LONG]),
        ("compare", ["char_meanpool", LONG]),
        ("compare", ["char_meanpool", "--pooling", LONG, "mean"]),
        ("plot", [LONG]),
        ("plot", ["attention", "char_gpt", "the", "--out", LONG]),
        ("plot", ["losses", LONG[:300]]),
        ("dialogue", ["--out", LONG[:300], "--length", "1"]),
        ("chat", [LONG[:300]]),
    ],
)  # fmt: skip
def test_a_long_text_is_no_long_message(tmp_path, monkeypatch, capsys, command, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        importlib.import_module(console.module(command)).main(arguments)
    assert len(str(caught.value)) <= LONGEST_LINE and "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_advice_names_options_of_the_command_at_hand(tmp_path, monkeypatch):
    """Whatever is wrong with a text, a run or the data folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("a")
    (tmp_path / "unknown.txt").write_text("§" * 50)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "zero.txt").write_bytes(b"a\0b")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "tinyshakespeare.txt").write_text("To be, or not to be")
    texts = ["one.txt", "unknown.txt", "latin.txt", "zero.txt", "none.txt", "."]
    folders = ["wrong", "nowhere"]
    tried = {
        "train": [["char_meanpool", "--steps", "0"], *(["char_gpt", "--steps", "1", "--data-dir", f] for f in folders),
                  *(["char_gpt", "--steps", "1", "--data", t] for t in texts if t != "unknown.txt")],
        "evaluate": [*(["char_gpt", "--data", text] for text in texts), *(["char_gpt", "--data-dir", f] for f in folders),
                     *(["chat_gpt", "--data", text] for text in texts)],
        "explain": [["char_gpt", "§"], ["char_gpt", "the", "--step", "99"], *(["char_gpt", "the", "--data-dir", f] for f in folders)],
        "compare": [["word_ngram", "text", "--data", "one.txt"], ["char_gpt", "text", "--data-dir", "wrong"], ["char_gpt"]],
        "generate": [["char_gpt", "--prompt", ""], ["char_gpt", "--prompt", "§"], ["word_ngram", "--prompt", "a"]],
        "predict": [["char_gpt", ""], ["char_gpt", "§"], ["char_gpt", "the", "--last"]],
        "plot": [["attention", "char_gpt", "§"], ["probabilities", "char_gpt", "a"], ["losses", "none"]],
        "chat": [["char_gpt"], ["none"]],
        "verify": [["none"], ["wrong"]],
        "dialogue": [["--length", "0"]],
    }  # fmt: skip
    assert {*tried} == {*console.COMMANDS}
    for command, lines in tried.items():
        known = {option for action in parser(command)._actions for option in action.option_strings}
        for arguments in lines:
            with pytest.raises(UserError) as caught:
                importlib.import_module(console.module(command)).main(arguments)
            named = set(re.findall(r"(?<!\S)--[a-z][\w-]*", str(caught.value)))
            assert named <= known, (command, arguments, str(caught.value))


def test_ends_of_lines_that_were_typed(tmp_path, python, small_gpt):
    model = zoo.load_model(str(small_gpt))
    assert typed(r"a\nb\tc", model) == "a\nb\tc"
    model.tokenizer.vocabulary.append("\\")
    assert typed(r"a\nb", model) == r"a\nb"
    stopped = python(tmp_path, "zoo.generate", small_gpt, "--prompt", "the", "--stop", r"\n", "--tokens", 200)
    whole = python(tmp_path, "zoo.generate", small_gpt, "--prompt", "the", "--tokens", 200)
    assert stopped.stdout.rstrip("\n") == whole.stdout.split("\n")[0] and whole.stdout.count("\n") > 1


def test_a_usage_error_is_a_line(tmp_path, python):
    done = python(tmp_path, "zoo.generate", "w" * 300, "--prompt", "a")
    one_line_error(done, "zoo.generate", "unknown model 'www", "...", "char_gpt", code=2)
    assert isinstance(parser("generate"), Parser)
