"""The zoo in a notebook: cells run in a real kernel, as a user has it."""

import os
import re

import pytest
from commands import ROOT

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TEXT = "the sun came up and the moon went down and the stars came out and all was well\n"
#: What must be as it was after each cell: the handler of Ctrl-C, and the streams.
WATCH = "import signal, sys, zoo\nhandler, streams = signal.getsignal(signal.SIGINT), (sys.stdout, sys.stderr)"
UNCHANGED = "assert (signal.getsignal(signal.SIGINT), (sys.stdout, sys.stderr)) == (handler, streams)"


class Notebook:
    """A kernel in a folder, to run cells in."""

    def __init__(self, folder):
        import nbformat

        self.notebook = nbformat.v4.new_notebook()
        self.client = nbclient.NotebookClient(
            self.notebook, timeout=120, allow_errors=True, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )

    def run(self, source, raises=None):
        """A cell's outputs: what it printed, and what it displayed, each by its kind; and that it raised what it should."""
        import nbformat

        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        printed = {"stdout": "", "stderr": ""}
        shown, raised = [], None
        for output in cell.outputs:
            if output.output_type == "stream":
                printed[output.name] += output.text
            elif output.output_type == "error":
                raised, self.traceback = f"{output.ename}: {output.evalue}", output.traceback
            else:
                shown.append(output.data)
        assert raised == raises or (raises and re.search(raises, raised or "")), raised
        return printed["stdout"], printed["stderr"], shown


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "my.txt").write_text(TEXT * 40)
    before = dict(os.environ)
    os.environ.update(PYTHONPATH=str(ROOT), PYDEVD_DISABLE_FILE_VALIDATION="1")
    opened = Notebook(folder)
    opened.folder = folder
    try:
        with opened.client.setup_kernel():
            opened.run(WATCH)
            yield opened
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def trained(notebook):
    """What a cell that trains shows; the model is `model` afterwards."""
    return notebook.run(
        "model = zoo.train_model('char_gpt', preset='nano', data='my.txt', steps=60, width=16, heads=2, layers=1, context=16, "
        f"batch_size=4, evaluate_every=20)\n{UNCHANGED}"
    )


def test_training_shows_a_bar_that_moves_and_what_the_command_prints(trained, notebook):
    out, err, shown = trained
    assert err == "", "notes on stderr look like errors"
    assert "3,160 characters" in out
    assert "Step 60/60" in out and "Generated: " in out and "Saved in runs/char_gpt after" in out
    (bar,) = shown  # one display, which was updated
    assert re.fullmatch(r"step 60 of 60 \| loss \d\.\d{4} \| [\d,]+ tokens/s \| 0:00 left", bar["text/plain"])
    assert '<progress value="60" max="60"' in bar["text/html"]
    assert (notebook.folder / "runs/char_gpt/model.safetensors").exists()


@pytest.mark.usefixtures("trained")
def test_what_is_shown_of_a_model(notebook):
    def show(source):
        return notebook.run(source)[2][-1]

    assert "LanguageModel char_gpt: CharGPT" in show("model")["text/plain"]
    generated = show("model.generate('the ', tokens=30)")["text/plain"]
    assert len(generated) == 34 and generated.startswith("the ")
    predicted = show("model.predict('the ', top=3)")
    assert predicted["text/plain"].count("%") == 3 and predicted["text/html"].startswith("<pre")
    assert "perplexity" in show("model.evaluate()")["text/html"]
    explained = show("model.explain('the s', step=2)")
    assert "Step 2 of" in explained["text/html"] and '<span style="color: #' in explained["text/html"]
    assert "\033" not in explained["text/html"] + explained["text/plain"]
    assert "Step 2 of" in explained["text/plain"] and "Step 1 of" not in explained["text/plain"]


@pytest.mark.usefixtures("trained")
def test_pictures_are_shown_and_leave_the_users_alone(notebook):
    pytest.importorskip("matplotlib")
    notebook.run("import matplotlib.pyplot as plt\nbackend = plt.get_backend(), plt.get_fignums(), plt.rcParams['font.size']")
    for source in ("model.plot('losses')", "model.plot('attention', 'the sun')", "model.plot('probabilities', 'the sun')"):
        assert "image/png" in notebook.run(source)[2][-1], source
    shown = notebook.run("model.plot('losses', out='losses.svg')")[2][-1]
    assert shown["image/svg+xml"].startswith("<?xml") and (notebook.folder / "losses.svg").exists()
    notebook.run("assert backend == (plt.get_backend(), plt.get_fignums(), plt.rcParams['font.size'])")


def test_a_chat(notebook):
    out, err, _ = notebook.run(
        "chat = zoo.load_model('chat_gpt')\nprint(chat.chat('My name is Anna.'))\nprint(chat.chat('hé ☺'))"
    )
    assert "Nice to meet you, Anna!" in out and "(I don't know ☺; I read: he)" in out and err == ""
    assert notebook.run("print(chat.chat('What is my name?'))")[0] == "Your name is Anna.\n"
    assert "Anna" not in notebook.run("chat.reset()\nprint(chat.chat('What is my name?'))")[0]


def test_commands(notebook):
    for _ in range(2):  # (twice: the kernel goes on, and the folder has to be free again)
        out, err, shown = notebook.run(f"%run -m zoo.train word_meanpool --steps 200\n{UNCHANGED}")
        assert "Step 200 | Input:" in out and "Try: python -m zoo.generate word_meanpool" in out and err == ""
        assert "step 200 of 200" in shown[0]["text/plain"]
    assert "The earlier run is kept in runs/word_meanpool-1" in out
    out, _, _ = notebook.run(f"%run -m zoo.predict word_meanpool 'down by the harbour'\n{UNCHANGED}")
    assert out.count("%") == 10
    says = "zoo.train: error: unknown model 'word_meanpol'; did you mean word_meanpool or char_meanpool?"
    out, err, _ = notebook.run("%run -m zoo.train word_meanpol", raises=re.escape(says))
    assert (out, err) == ("", "")  # IPython's own warning neither
    assert notebook.traceback == [says]
    notebook.run(UNCHANGED)


def test_mistakes_are_exceptions(notebook):
    notebook.run("zoo.train_model('char_gtp')", raises="UsageError: unknown model 'char_gtp'; did you mean char_gpt")
    notebook.run("zoo.train_model('char_gpt', stesp=3)", raises="UsageError: unknown setting 'stesp'; did you mean steps")
    notebook.run("zoo.train_model('char_gpt', data='our.txt')", raises="DataError: no such file: ")


def test_an_interrupt_saves_and_resuming_goes_on(notebook):
    stop = "import os, threading; threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
    train = "zoo.train_model('word_meanpool', out='stopped', steps=3_000_000, context=3)"
    notebook.run(stop + train, raises="of 3000000, saved in stopped; go on with resume=True")
    notebook.run(UNCHANGED)
    step = "int(__import__('microtensor').serialize.load_safetensors('stopped/state.safetensors')['step'])"
    out, _, _ = notebook.run(
        f"step = {step}\nmodel = zoo.train_model('word_meanpool', out='stopped', resume=True, steps=step + 9)"
    )
    assert "Saved in stopped" in out
    notebook.run(f"assert {step} == step + 9 > 9")


def test_in_a_thread(notebook):
    out, err, _ = notebook.run(
        "import threading\nthread = threading.Thread(target=zoo.train_model, args=['word_ngram'], kwargs={'steps': 50})\n"
        f"thread.start()\nthread.join()\n{UNCHANGED}"
    )
    assert "Saved in runs/word_ngram" in out and "Traceback" not in err
