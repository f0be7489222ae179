"""A terminal to try commands in."""

import os
import pty
import re
import select
import signal
import sys
import termios
import time

from commands import ROOT


class Terminal:
    """A command in a pseudo-terminal, as a person has it."""

    def __init__(self, folder, module, *arguments, columns=80):
        self.pid, self.screen = pty.fork()
        self.seen = ""
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(PYTHONPATH=str(ROOT), TERM="xterm", INPUTRC="/dev/null")
            os.environ.pop("COLUMNS", None)
            termios.tcsetwinsize(0, (24, columns))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # (Of this process the readline library, too, may have set COLUMNS, which os.environ doesn't know.)
            os.execve(sys.executable, [sys.executable, "-m", module, *map(str, arguments)], dict(os.environ))

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def read(self, until, timeout=30):
        """What appears, up to and with a text."""
        end = time.monotonic() + timeout
        while until not in self.seen:
            assert time.monotonic() < end, f"{until!r} didn't appear in {self.seen!r}"
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.screen, 4096).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"ended before {until!r}: {self.seen!r}") from None
        before, found, self.seen = self.seen.partition(until)
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", before + found)

    def ends(self):
        """The exit code, and what was said last."""
        end, rest = time.monotonic() + 20, self.seen
        while time.monotonic() < end:
            try:
                if select.select([self.screen], [], [], 0.2)[0]:
                    rest += os.read(self.screen, 4096).decode(errors="replace")
            except OSError:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError(f"it goes on after {rest!r}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), rest

    def close(self):
        """The person closes the window."""
        os.close(self.screen)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
