"""Every file operation of a save, one after the other: the process killed before it, or the operation failed, or the disk full."""

import contextlib
import errno
import os
import shutil
import signal
import time

from small import FILES, TEXT, content, fresh, make_trainer, names, train

from zoo.errors import DataError
from zoo.training.run_folder import RunFolder

OPERATIONS = ("open", "write", "fsync", "close", "replace", "rename", "unlink", "mkdir", "rmdir", "link", "listdir", "scandir")
FAULTS = ("killed", "EIO", "ENOSPC")
#: What is in the folder when the save begins.
BEFORE = ("nothing", "a step before", "an earlier run", "an earlier run without a manifest")


class Faults:
    """Saves into folders of their own, each with a fault in it.

    Args:
        work: where.
    """

    def __init__(self, work):
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        (work / "text.txt").write_text(TEXT)
        train(self._trainer("old"), until=4)
        train(self._trainer("other", steps=4, seed=1))
        shutil.copytree(work / "other" / "run", work / "unsealed" / "run")
        (work / "unsealed" / "run" / "manifest.json").unlink()
        self.trainer = train(self._trainer("new"))
        self.old = {
            "nothing": None, "a step before": work / "old" / "run", "an earlier run": work / "other" / "run",
            "an earlier run without a manifest": work / "unsealed" / "run",
        }  # fmt: skip
        self.new = content(work / "new" / "run")

    def _trainer(self, name, **changes):
        """A trainer for a folder; their texts are in one place, so that all say the same of it."""
        return make_trainer(self.work / name / "run", data=str(self.work / "text.txt"), **changes)

    def count(self, before):
        """The number of operations of a save."""
        return self._save(before, "none", -1)

    def lost(self, before, fault, number):
        """Save with a fault at that operation; returns what is wrong afterwards, "" for nothing."""
        self._save(before, fault, number)
        run, old = self.work / "trial" / "run", self.old[before]
        earlier = None if old is None else content(old)
        found = content(run)
        if found not in (earlier, self.new):
            return "neither the old state nor the new one is read"
        if fault != "killed" and names(run) - FILES:
            return f"debris: {names(run) - FILES}"
        if fault != "killed" and any(name.startswith(".") for name in names(run.parent)):
            return f"debris beside the run: {names(run.parent)}"
        RunFolder(run, "char_gpt").checkpoint.load() if found else None
        folder = RunFolder(run, "char_gpt")  # the next training opens it
        folder.open_for_writing(True)
        folder.close()
        if content(run) != found:
            return "opening it changed it"
        wanted = set() if found is None else FILES - ({"manifest.json"} if found == earlier and "without" in before else set())
        if names(run) != wanted:
            return f"after opening there is {sorted(names(run))}"
        aside = {name for name in names(run.parent) if name not in ("run", "text.txt")}
        kept = found == self.new and before.startswith("an earlier")
        if aside != ({"run-1"} if kept else set()):
            return f"beside the run there is {sorted(aside)}"
        if before == "a step before":
            if found == earlier:
                train(self._trainer("trial"), resuming=True)
            if any(content(run)[name] != self.new[name] for name in ("state.safetensors", "model.safetensors")):
                return "resumed, it comes to other bits"
        if kept and content(run.parent / "run-1") != earlier:
            return "the earlier run isn't whole"
        return ""

    def _save(self, before, fault, number):
        """Save in a child, with the fault; returns how many operations it took."""
        run = fresh(self.work / "trial") / "run"
        if self.old[before] is not None:
            shutil.copytree(self.old[before], run)
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 2
            with contextlib.suppress(BaseException):
                code = self._child(run, before, fault, number, send)
            os.kill(os.getpid(), signal.SIGKILL) if code is None else os._exit(code)
        os.close(send)
        with os.fdopen(receive, "rb") as pipe:
            counted = pipe.read()
        end = time.monotonic() + 60
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < end, "the save hangs"
            time.sleep(0.001)
        code = os.waitstatus_to_exitcode(done[1])
        assert code in (0, 1, -signal.SIGKILL), (before, fault, number, code)
        return int(counted or 0)

    def _child(self, run, before, fault, number, send):
        trainer, seen = self.trainer, [0]
        trainer.folder, trainer._saved = RunFolder(run, "char_gpt"), -1
        trainer.folder.open_for_writing(before == "a step before")

        def faulty(operation, name):
            def call(*args, **kwargs):
                seen[0] += 1
                if seen[0] != number:
                    return operation(*args, **kwargs)
                if name == "write":  # half of it
                    operation(args[0], args[1][: len(args[1]) // 2])
                if fault == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if name == "close":
                    operation(*args)
                raise OSError(getattr(errno, fault), "a fault")

            return call

        real = {name: getattr(os, name) for name in OPERATIONS}
        for name in OPERATIONS:
            setattr(os, name, faulty(real[name], name))
        try:
            trainer.save()
            return 0
        except DataError as error:
            assert "can't save the run" in str(error), error
            return 1
        finally:
            for name in OPERATIONS:
                setattr(os, name, real[name])
            os.write(send, str(seen[0]).encode())
