"""The trainer: stopping and going on, what is kept, what it refuses."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from commands import ROOT, one_line_error

from microtensor import cross_entropy
from microtensor.serialize import load_safetensors, save_safetensors
from zoo.chat.synthetic import synthetic_conversations
from zoo.datasets.batches import DocumentDataset, StreamDataset
from zoo.errors import DataError, UsageError
from zoo.recipe import make_recipe
from zoo.registry import model_class
from zoo.training.carried import CarriedStates
from zoo.training.checkpoint import find
from zoo.training.evaluation import evaluate, split
from zoo.training.prepare import make_trainer
from zoo.training.run_folder import RunFolder
from zoo.training.trainer import Interrupted, Trainer

RNG = np.random.default_rng(0)
LINES = "\n".join(" ".join(RNG.choice(["the", "sea", "is", "wide", "and", "so", "am", "i"], 9)) for _ in range(500))
SMALL = {
    "char_gpt": {"width": 8, "heads": 2, "layers": 1, "context": 8, "batch_size": 4, "steps": 9, "dropout": 0.2,
                 "evaluate_every": 3, "warmup": 2},
    "char_rnn": {"width": 8, "layers": 2, "context": 8, "batch_size": 4, "steps": 9, "dropout": 0.2, "evaluate_every": 3,
                 "warmup": 2},
    "word_ngram": {"width": 4, "hidden": 8, "dropout": 0.3, "epochs": None, "steps": 9},
    "char_meanpool": {"width": 4, "epochs": None, "steps": 9},
    "word_meanpool": {"width": 4, "steps": 9, "batch_size": 3},
}  # fmt: skip


def trainer(folder, name="char_gpt", text=LINES, checkpoint_every=None, **changes):
    kind = model_class(name)
    recipe = make_recipe(kind.recipe_class, {**SMALL[name], "data": "lines.txt", **changes})
    tokenizer = recipe.make_tokenizer(lambda: text)
    model = kind(recipe, len(tokenizer.vocabulary), np.random.default_rng(recipe.seed))
    return Trainer(model, tokenizer, text, RunFolder(folder, name), checkpoint_every)


def run(made, resuming=False):
    """Train to the end; returns what was reported."""
    reports = []
    made.folder.open_for_writing(resuming)
    if resuming:
        made.resume()
    try:
        made.run(lambda line, figures: reports.append((line, figures)))
    finally:
        os.close(made.folder._lock)
    return reports


def stop_after(made, step):
    """Send a signal while that step is done."""
    original = made._one_step

    def one_step():
        if made.step == step - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original()

    made._one_step = one_step


def everything(folder):
    return {
        f"{file}:{name}": array
        for file in ("model.safetensors", "state.safetensors")
        for name, array in load_safetensors(folder / file).items()
    }


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("name", SMALL)
def test_stopping_at_any_step_changes_nothing(tmp_path, name):
    run(trainer(tmp_path / "straight", name))
    expected = everything(tmp_path / "straight")
    for step in range(1, 9):
        folder = tmp_path / f"stopped-{step}"
        first = trainer(folder, name)
        stop_after(first, step)
        with pytest.raises(Interrupted):
            run(first)
        assert first.step == step
        run(trainer(folder, name), resuming=True)
        same(everything(folder), expected)
        metrics, wanted = (
            [json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()]
            for f in (folder, tmp_path / "straight")
        )
        timeless = [{k: v for k, v in m.items() if k not in ("seconds", "tokens_per_second")} for m in metrics]
        assert timeless == [{k: v for k, v in m.items() if k not in ("seconds", "tokens_per_second")} for m in wanted]


def test_stopping_within_validation_changes_nothing(tmp_path):
    """It is answered after a batch, and the evaluation is made up for when training goes on; after the last step, too."""
    run(trainer(tmp_path / "straight"))
    expected = everything(tmp_path / "straight")
    for step in (3, 9):
        folder = tmp_path / f"stopped-{step}"
        first = trainer(folder)
        watch, seen = first._watch, []

        def at_the_second_batch(done, loss, first=first, watch=watch, seen=seen, step=step):
            if first.step == step:
                seen.append(done)
                if len(seen) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
            watch(done, loss)

        first._watch = at_the_second_batch
        with pytest.raises(Interrupted):
            run(first)
        assert first.step == step and len(seen) == 2 and all(m["step"] != step for m in first.metrics)
        reports = run(trainer(folder), resuming=True)
        assert reports[0][1]["step"] == step
        same(everything(folder), expected)
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        wanted = [json.loads(line) for line in (tmp_path / "straight" / "metrics.jsonl").read_text().splitlines()]
        for one, other in zip(metrics, wanted, strict=True):
            assert {**one, "seconds": 0, "tokens_per_second": 0} == {**other, "seconds": 0, "tokens_per_second": 0}


def test_stopping_while_a_batch_is_drawn(tmp_path):
    made = trainer(tmp_path / "run")
    batch = made.dataset.batch

    def endless(step, size, seed):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(300):
                time.sleep(0.01)
        return batch(step, size, seed)

    made.dataset.batch = endless
    with pytest.raises(Interrupted):
        run(made)
    assert made.step == 4 and int(load_safetensors(tmp_path / "run" / "state.safetensors")["step"]) == 4


def test_another_signal_is_answered_at_once(tmp_path, monkeypatch):
    import zoo.training.trainer as module

    made = trainer(tmp_path / "run")
    said = []

    def one_step():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same once more
        said.append("patient")
        monkeypatch.setattr(module, "AGAIN", -1.0)
        made._signals.saving = True
        os.kill(os.getpid(), signal.SIGINT)  # while something is saved
        said.append("saved")
        made._signals.saving = False
        os.kill(os.getpid(), signal.SIGINT)
        said.append("never")

    made._one_step = one_step
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(made)
    assert said == ["patient", "saved"] and signal.getsignal(signal.SIGINT) is before


def test_the_best_parameters_are_kept_and_the_last(tmp_path):
    made = trainer(tmp_path / "run", steps=30)
    validate = made._validate

    def spoilt():  # at step 18, whatever the rounding of this machine would make of a training
        if made.step == 18:
            for p in made.model.parameters():
                p.data = p.data * -50
        return validate()

    made._validate = spoilt
    reports = run(made)
    losses = {figures["step"]: figures["validation_loss"] for _, figures in reports}
    assert list(losses) == list(range(3, 31, 3)) and made.best == min(losses.values()) == losses[made.best_step]
    assert made.best_step <= 15
    checkpoint = made.folder.checkpoint
    best, last = (checkpoint.load(last=last)[0] for last in (False, True))
    assert abs(evaluate(best, made.validation) - made.best) < 1e-9
    assert abs(evaluate(last, made.validation) - losses[30]) < 1e-9


@pytest.mark.parametrize("name, kept", [("chat_gpt", "last"), ("char_gpt", "best")])
def test_which_parameters_are_kept(tmp_path, name, kept):
    """chat_gpt's last, even if earlier ones foretold the held-out text better."""
    (tmp_path / "talk.txt").write_text(synthetic_conversations(0, 30_000))
    settings = {"data": str(tmp_path / "talk.txt"), "width": 8, "heads": 1, "layers": 1, "context": 32, "steps": 4}
    recipe = make_recipe(model_class(name).recipe_class, {**settings, "evaluate_every": 2, "batch_size": 4})
    folder = RunFolder(tmp_path / "run", name)
    trainer = make_trainer(name, recipe, folder)
    losses, seen = iter([1.0, 2.0]), {}

    def validate():
        loss = next(losses)
        seen["best" if loss == 1 else "last"] = {n: a.copy() for n, a in trainer.model.state_dict().items()}
        if loss == 1:
            trainer.best, trainer.best_step = loss, trainer.step
        return loss, loss == 1

    trainer._validate = validate
    folder.open_for_writing(False)
    trainer.run(lambda line, figures: None)
    found = find(str(tmp_path / "run")).load()[0].state_dict()
    assert all((found[n] == seen[kept][n]).all() for n in found) and trainer.best_step == 2


def test_a_short_text_is_learned_whole_and_its_last_parameters_kept(tmp_path):
    made = trainer(tmp_path / "run", text=LINES[:2000])
    reports = run(made)
    assert made.validation is None and "Validation" not in reports[-1][0]
    model, _ = made.folder.checkpoint.load()
    for name, array in made.model.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_evaluation_is_the_mean_over_the_whole_split(tmp_path):
    made = trainer(tmp_path / "run")
    model, held_out = made.model, made.documents[0][int(0.9 * len(made.documents[0])) :]
    losses = []
    for i in range(0, len(held_out) - 1, 8):
        seen, wanted = held_out[i : i + 8], held_out[i + 1 : i + 9]
        losses += cross_entropy(model.eval()(seen[None, : len(wanted)])[0], wanted, reduction="none").data.tolist()
    assert len(losses) == len(held_out) - 1
    assert abs(evaluate(model, made.validation) - np.mean(losses)) < 1e-5


def test_how_often_one_evaluates_changes_nothing(tmp_path):
    often, rarely = (trainer(tmp_path / str(n), evaluate_every=n) for n in (1, 100))
    run(often)
    run(rarely)
    for name, array in often.model.state_dict().items():
        np.testing.assert_array_equal(array, rarely.model.state_dict()[name])


def test_evaluating_leaves_the_model_as_it_was(tmp_path):
    made = trainer(tmp_path / "run")
    made.model.train()
    first = evaluate(made.model, made.validation)
    assert made.model.training and made.model.blocks[0].dropout.training
    assert first == evaluate(made.model.eval(), made.validation) and not made.model.training


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path):
    whole, parts, uneven = (trainer(tmp_path / str(n), dropout=0.0, grad_accumulation=n) for n in (1, 4, 3))
    for made in (whole, parts, uneven):
        run(made)
    for other in (parts, uneven):
        for name, array in whole.model.state_dict().items():
            np.testing.assert_allclose(array, other.model.state_dict()[name], atol=2e-4)
        assert abs(whole.loss - other.loss) < 1e-4


def test_streams_begin_again_and_resuming_goes_on_in_them(tmp_path):
    """A text of 3 steps: hidden states are carried from step to step, and begin afresh at steps 3 and 6."""
    text = LINES[: 4 * 3 * 8 + 5]
    straight = trainer(tmp_path / "straight", "char_rnn", text, grad_accumulation=2)
    seen, logits = [], straight.carried.logits
    straight.carried.logits = lambda inputs, part: seen.append(straight.carried.caches[part].length) or logits(inputs, part)
    run(straight)
    assert seen == [0, 0, 8, 8, 16, 16] * 3
    assert [cache.states["layers.1.h"].shape for cache in straight.carried.caches] == [(1, 2, 8), (1, 2, 8)]
    assert not any(name.startswith("carried") for name in everything(tmp_path / "straight"))
    for step in (2, 3, 4):
        folder = tmp_path / str(step)
        first = trainer(folder, "char_rnn", text, grad_accumulation=2)
        stop_after(first, step)
        with pytest.raises(Interrupted):
            run(first)
        second = trainer(folder, "char_rnn", text, grad_accumulation=2)
        second.resume()
        assert [cache.length for cache in second.carried.caches] == ([] if step == 3 else [8 * (step % 3)] * 2)
        run(trainer(folder, "char_rnn", text, grad_accumulation=2), resuming=True)
        same(everything(folder), everything(tmp_path / "straight"))


def test_a_hidden_state_that_doesnt_fit_is_damage(tmp_path):
    first = trainer(tmp_path / "run", "char_rnn")
    stop_after(first, 2)
    with pytest.raises(Interrupted):
        run(first)
    file = tmp_path / "run" / "state.safetensors"
    state = load_safetensors(file)
    (tmp_path / "run" / "manifest.json").unlink()
    name = "carried.0.layers.0.h"
    h, others = state[name], {n: a for n, a in state.items() if n != name}
    none = {n: a for n, a in state.items() if not n.startswith("carried.")}
    wrongs = [
        ({**others, name: h.reshape((4, 1, 8))}, r"carried\.0\.layers\.0\.h should be float32 \(1, 4, 8\), but is"),
        ({**others, name: h.astype(np.float64)}, r"carried\.0\.layers\.0\.h should be float32"),
        ({**others, name: np.full_like(h, np.nan)}, r"carried\.0\.layers\.0\.h holds NaN"),
        ({**others, "carried.1.layers.0.h": h}, r"it has no carried\.0\.layers\.0\.h"),
        ({**others, name: h[:, :3].copy()}, "it carries 120 numbers from step to step, not 128"),
        ({**state, "carried.0.x": h}, "it carries 160 numbers"),
        ({**state, "carried.0.x": h[:0]}, r"it has a carried\.0\.x"),
        (others, "it carries 96 numbers"),
    ]
    for changed, what in wrongs:
        save_safetensors(file, changed)
        with pytest.raises(DataError, match=f"damaged: .*{what}"):
            trainer(tmp_path / "run", "char_rnn").resume()
        with pytest.raises(DataError, match=f"damaged: .*{what}"):
            find(str(tmp_path / "run")).verify()
    save_safetensors(file, none)
    with pytest.raises(DataError, match="it carries 0 numbers"):
        trainer(tmp_path / "run", "char_rnn").resume()
    save_safetensors(file, state)
    with pytest.raises(DataError, match=r"it has a carried\.0\..*, and nothing is carried into step 3"):
        trainer(tmp_path / "run", "char_rnn", carry="no").resume()


def test_many_streams_through_a_small_network_can_be_resumed(tmp_path):
    """The hidden states are many times the parameters."""
    settings = {"width": 2, "layers": 1, "batch_size": 3000, "steps": 3, "context": 2}
    text = LINES * 20
    run(trainer(tmp_path / "straight", "char_rnn", text, **settings))
    stop_after(first := trainer(tmp_path / "run", "char_rnn", text, **settings), 2)
    with pytest.raises(Interrupted):
        run(first)
    assert sum(a.size for a in first.carried.caches[0].states.values()) > 50 * first.model.num_parameters()
    find(str(tmp_path / "run")).verify()
    run(trainer(tmp_path / "run", "char_rnn", text, **settings), resuming=True)
    same(everything(tmp_path / "run"), everything(tmp_path / "straight"))


def test_learning_from_streams_is_reading_on(tmp_path):
    """The loss of a step is that of its characters after all that came before them in the stream."""
    made = trainer(tmp_path / "run", "char_rnn", learning_rate=1e-30, dropout=0.0, steps=5)
    run(made)
    inputs, targets = (
        np.concatenate(each, axis=1) for each in zip(*(made.dataset.batch(i, 4, 0) for i in range(5)), strict=True)
    )
    losses = cross_entropy(made.model.eval()(inputs), targets, reduction="none").data
    np.testing.assert_allclose(made.losses, losses.reshape((4, 5, 8)).mean(axis=(0, 2)), rtol=1e-4)
    apart = cross_entropy(made.model(inputs[:, -8:]), targets[:, -8:])
    assert abs(float(apart) - made.losses[-1]) > 1e-4


def test_validation_carries_the_state_too(tmp_path):
    made = trainer(tmp_path / "run", "char_rnn")
    held_out = made.documents[0][int(0.9 * len(made.documents[0])) :]
    batches = list(made.validation.in_order())
    wanted = np.concatenate([targets for _, targets in batches], axis=1).reshape(-1)
    np.testing.assert_array_equal(wanted[wanted >= 0], held_out[1:])
    inputs = np.concatenate([inputs for inputs, _ in batches], axis=1)
    losses = cross_entropy(made.model.eval()(inputs), wanted.reshape(inputs.shape), reduction="none").data
    assert abs(evaluate(made.model, made.validation) - losses.sum() / (len(held_out) - 1)) < 1e-5


def test_only_a_model_with_hidden_states_learns_from_streams(tmp_path):
    made = trainer(tmp_path / "run")
    with pytest.raises(UsageError, match="StateCache"):
        CarriedStates(made.model, StreamDataset(made.documents, 8, "characters"))


def test_names_begin_with_an_empty_hidden_state(tmp_path):
    """No name has a say in the next: the loss is that of each name alone, and nothing is carried."""
    made = trainer(tmp_path / "run", "char_rnn", data=None, corpus="names", text="emma\nava\n" * 40, dropout=0.0)
    inputs, targets = made.dataset.batch(0, 4, 0)
    newline = made.model.boundary
    assert (
        isinstance(made.dataset, DocumentDataset)
        and (inputs[:, 0] == newline).all()
        and (inputs[:, 1:5] != newline).all(1).any()
    )
    ends = [list(row[row >= 0]).index(newline) for row in targets]
    assert all((row[row >= 0][-1] == newline) and end in (3, 4) for row, end in zip(targets, ends, strict=True))
    run(made)
    assert not made.carried.caches and not any(name.startswith("carried") for name in everything(tmp_path / "run"))


def test_nan_stops_before_anything_is_changed(tmp_path):
    made = trainer(tmp_path / "run", steps=50, checkpoint_every=1)
    good = {}
    original = made._one_step

    def one_step():
        if made.step == 20:
            good.update(made.model.state_dict())
            for p in made.model.blocks[0].norm1.parameters():
                p.data = np.full_like(p.data, np.nan)
        return original()

    made._one_step = one_step
    with pytest.raises(DataError, match="the loss became nan at step 21; try a smaller --learning-rate"):
        run(made)
    state = load_safetensors(tmp_path / "run" / "state.safetensors")
    assert int(state["step"]) == 20
    for name, array in good.items():
        np.testing.assert_array_equal(state[f"model.{name}"], array)
    assert np.isfinite(load_safetensors(tmp_path / "run" / "model.safetensors")["norm.weight"]).all()


def test_nan_is_never_best(tmp_path, monkeypatch):
    import zoo.training.trainer as module

    made = trainer(tmp_path / "run")
    values = iter([2.0, 1.5, float("nan")])
    monkeypatch.setattr(module, "evaluate", lambda *_: next(values))
    run(made)
    assert (made.best, made.best_step) == (1.5, 6)


def test_a_report_that_nobody_reads_loses_nothing(tmp_path):
    made = trainer(tmp_path / "run")
    made.folder.open_for_writing(False)

    def report(line, figures):
        if figures["step"] == 6:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        made.run(report)
    os.close(made.folder._lock)
    best, _ = made.folder.checkpoint.load()
    assert made.best_step == 6 and abs(evaluate(best, made.validation) - made.best) < 1e-9


def test_checkpoints_come_every_so_many_steps(tmp_path):
    made = trainer(tmp_path / "run", "word_meanpool", checkpoint_every=4)
    saved = []
    save = made.save
    made.save = lambda best=False: (saved.append(made.step), save(best))
    run(made)
    assert saved == [4, 8, 9]


def test_the_speed_and_the_rate_are_reported(tmp_path):
    (line, figures), *_ = run(trainer(tmp_path / "run"))
    assert re.fullmatch(r"Step 3/9 \| Loss: \d\.\d{4} \| Validation: \d\.\d{4} \| LR: \d\.\d\de-\d\d \| [\d,]+ tokens/s", line)
    assert figures.keys() == {"step", "loss", "learning_rate", "tokens_per_second", "seconds", "validation_loss"}


def test_the_first_step_which_waits_for_the_compiler_is_not_in_the_speed(tmp_path, monkeypatch):
    made, seconds = trainer(tmp_path / "run"), [0.0]
    one_step = made._one_step
    made._one_step = lambda: (one_step(), seconds.__setitem__(0, seconds[0] + (1 if made.step else 100)))[0]
    monkeypatch.setattr("zoo.training.trainer.time.monotonic", lambda: seconds[0])
    assert [figures["tokens_per_second"] for _, figures in run(made)] == [4 * 8] * 3


@pytest.mark.parametrize("name", ["char_gpt", "word_ngram"])
def test_dropout_depends_on_the_seed_and_the_step_alone(tmp_path, name):
    def dropped(step, seed=0):
        made = trainer(tmp_path / "run", name, dropout=0.5, seed=seed)
        made.model.load_state_dict({key: np.full_like(p, 0.1) for key, p in made.model.state_dict().items()})
        made.step = step
        seen = []
        layer = made._dropout[0]
        layer.forward = lambda x, forward=layer.forward: seen.append(forward(x).data != 0) or forward(x)
        made._one_step()
        return seen[0]

    assert (dropped(1) == dropped(1)).all()
    assert (dropped(1) != dropped(2)).any() and (dropped(1) != dropped(1, seed=1)).any()


def test_lines_for_each_model(tmp_path):
    patterns = {
        "char_meanpool": r"Epoch 10/100, Average Loss: \d\.\d{4}",
        "word_ngram": r"Epoch  15/150 \| Loss: \d\.\d{4} \| LR: 0\.100",
    }
    for name, pattern in patterns.items():
        epochs = model_class(name).recipe_class().epochs
        made = trainer(tmp_path / name, name, text="the cat sat on the mat\n" * 4, steps=None, epochs=epochs)
        lines = [line for line, _ in run(made)]
        assert len(lines) in (10, 11) and re.fullmatch(pattern, lines[-10]), lines


def test_lines_stand_for_themselves():
    kind = model_class("char_meanpool")
    model = kind(make_recipe(kind.recipe_class, {}), 27, np.random.default_rng(0))
    tokenizer = model.recipe.tokenizer_class(list(model.recipe.text.alphabet))
    documents = [tokenizer.encode(part) for part in model.recipe.documents("abcdefg\n\nhijklmn\n")]
    examples, held_out = split(model, documents, tokenizer)
    assert len(examples) == 4 and held_out is None
    assert "".join(tokenizer.decode([t]) for t in examples.targets) == "fgmn"


# As a user does it


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "lines.txt"
    file.write_text(LINES)
    return file


GPT = ("--width", 16, "--heads", 2, "--layers", 2, "--context", 16, "--batch-size", 4, "--dropout", 0.1, "--evaluate-every", 20)


def test_killed_at_a_random_moment(tmp_path, python, lines):
    arguments = ("char_gpt", "--data", lines, *GPT, "--steps", 400, "--checkpoint-every", 7)
    assert python(tmp_path, "zoo.train", *arguments, "--out", "straight").returncode == 0
    expected = everything(tmp_path / "straight")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zoo.train", *map(str, arguments), "--out", "killed"]
    kills = 0
    for attempt in range(8):
        resume = ["--resume"] if (tmp_path / "killed" / "state.safetensors").exists() else []
        process = subprocess.Popen(
            [*command, *resume], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        first = b""
        if attempt < 7:
            first = process.stderr.readline()
            time.sleep(random.uniform(0.0, 0.4))
            process.kill()
        _, rest = process.communicate(timeout=60)
        err = first + rest
        assert b"Traceback" not in err
        kills += process.returncode == -signal.SIGKILL
        for file in (tmp_path / "killed").glob("[!.]*"):  # whatever is there is whole
            if file.suffix == ".safetensors":
                load_safetensors(file)
            elif file.suffix == ".json":
                json.loads(file.read_text())
        if b"has done all" in err:  # a fast machine
            break
        assert b"sequences" in err
    assert kills
    same(everything(tmp_path / "killed"), expected)


def test_char_gpt_learns_a_text(tmp_path, python, lines):
    done = python(tmp_path, "zoo.train", "char_gpt", "--data", lines, *GPT, "--steps", 100, "--learning-rate", 0.01)
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"Step +(\d+)/100 \| Loss: (\S+) \| Validation: (\S+)", done.stdout)
    assert [int(s) for s, _, _ in steps] == [20, 40, 60, 80, 100]
    assert float(steps[-1][2]) < 2 < float(steps[0][1])
    best = re.search(r"Best validation loss: (\S+) after step (\d+)", done.stdout)
    assert float(best[1]) == min(float(v) for _, _, v in steps)
    assert "the last tenth is held out" in done.stderr and "Generated: " in done.stdout
    again = python(tmp_path, "zoo.evaluate", "char_gpt", "--json")
    assert again.returncode == 0, again.stderr
    figures = json.loads(again.stdout)
    assert abs(figures["loss"] - float(best[1])) < 1e-3
    assert abs(figures["perplexity"] - np.exp(figures["loss"])) < 1e-9
    for bits in ("bits_per_character", "bits_per_byte"):  # the same where each token is an ASCII character
        assert abs(figures[bits] - figures["loss"] / np.log(2)) < 1e-9
    prompt = re.search(r"--prompt (.*)$", done.stderr, re.M)[1].strip("\"'")
    assert python(tmp_path, "zoo.generate", "char_gpt", "--prompt", prompt, "--tokens", 40).stdout.startswith(prompt)


@pytest.mark.parametrize("name", SMALL)
def test_a_text_of_ones_own_for_each_model(tmp_path, python, name):
    text = "Über den Fluß — ça va?\nto be, or not to be, that is it\n" * 20
    (tmp_path / "my.txt").write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8")
    size = {"char_gpt": GPT, "char_rnn": ("--width", 32)}.get(name, ())
    done = python(tmp_path, "zoo.train", name, "--data", "my.txt", *size, "--steps", 20)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / f"runs/{name}/config.json").read_text(encoding="utf-8"))
    vocabulary = config["tokenizer"]["vocabulary"]
    if name.startswith("word"):
        assert {"über", "fluß", "ça", "be"} <= set(vocabulary)
        prompt = "über den fluß"
    else:
        assert set(vocabulary) == set(text) - ({"\n"} if name == "char_meanpool" else set())
        prompt = "Über den"
    again = python(tmp_path, "zoo.generate", name, "--prompt", prompt, "--tokens", 7)
    assert again.returncode == 0 and again.stdout.startswith(prompt), again.stderr
    assert python(tmp_path, "zoo.evaluate", name).returncode == 0
    best = python(tmp_path, "zoo.predict", name, prompt, "--top", 2)
    assert best.returncode == 0 and len(best.stdout.splitlines()) == 2


def test_presets_and_the_options_that_change_them(tmp_path, python, lines):
    small = ("--data", lines, "--steps", 2, "--context", 8, "--batch-size", 2)
    done = python(tmp_path, "zoo.train", "char_gpt", "--preset", "nano", *small)
    assert done.returncode == 0, done.stderr
    recipe = json.loads((tmp_path / "runs/char_gpt/config.json").read_text())["recipe"]
    assert (recipe["layers"], recipe["width"], recipe["context"], recipe["steps"]) == (4, 128, 8, 2)
    bad = python(tmp_path, "zoo.train", "char_gpt", "--preset", "nani")
    one_line_error(bad, "zoo.train", "--preset", "unknown preset 'nani'; did you mean nano", code=2)
    assert "this model has none" in python(tmp_path, "zoo.train", "word_ngram", "--preset", "nano").stderr
    changed = python(tmp_path, "zoo.train", "char_gpt", "--resume", "--width", 64)
    one_line_error(changed, "zoo.train", "--width", "128, not 64", code=2)


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (("char_gpt", "--heads", "5"), ["--heads", "don't divide a width of 192"], 2),
        (("char_gpt", "--dropout", "1"), ["--dropout", "below 1"], 2),
        (("char_gpt", "--epochs", "2", "--steps", "3"), ["--steps and --epochs", "one of the two"], 2),
        (("char_gpt", "--checkpoint-every", "0"), ["--checkpoint-every", "at least 1"], 2),
        (("char_gpt", "--data", "one.txt"), ["too short", "1 character"], 1),
        (("char_gpt", "--data-dir", "nowhere"), ["no such data folder", "nowhere"], 1),
        (("char_gpt", "--data-dir", ""), ["--data-dir", "folder"], 2),
        (("char_gpt", "--data-dir", "wrong"), ["not tiny Shakespeare", "tinyshakespeare.txt", "SHA-256"], 1),
        (("char_meanpool", "--pooling", "max"), ["--pooling", "one of mean, concat", "max"], 2),
        (("char_meanpool", "--data", "one.txt"), ["too short", "1 character", "longer text"], 1),
        (("word_ngram", "--pooling", "concat"), ["--pooling", "positions, mean"], 2),
        (("word_ngram", "--epochs", "0"), ["--epochs", "at least 1"], 2),
        (("word_ngram", "--batch-size", "57"), ["--batch-size", "57 is more than the 56 examples"], 2),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path, python, arguments, words, code):
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "short.txt").write_text("seventeen letters")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "tinyshakespeare.txt").write_text("To be, or not to be")
    one_line_error(python(tmp_path, "zoo.train", *arguments), "zoo.train", *words, code=code)
    assert not (tmp_path / "runs").exists()
