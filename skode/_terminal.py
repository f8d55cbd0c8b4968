"""The line of a terminal that is written anew as a fit goes on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys


def is_terminal(stream):
    """Whether a line of the stream can be written anew: not in files, pipes and notebooks.

    Nor in other processes than the first one, which share its terminal.
    """
    first = multiprocessing.current_process().name == "MainProcess"
    return first and stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


class Line(logging.StreamHandler):
    """Messages on a terminal, above a last line that changes."""

    def __init__(self):
        super().__init__(sys.stderr)
        self._shown = ""

    def show(self, *texts):
        """Write the line anew: the first text that is not wider than the terminal.

        Of the last one, what is wider is cut off, since such a line could not be written anew.
        """
        width = self._width() - 1
        text = next((text for text in texts if len(text) <= width), texts[-1][:width])
        self._write("\r" + text.ljust(len(self._shown)), text)

    def erase(self):
        """Leave the line to what others write."""
        if self._shown:
            self._write("\r" + " " * len(self._shown) + "\r", "")

    def emit(self, record):
        """Write a message in place of the line, and go on below."""
        self.erase()
        super().emit(record)

    def _write(self, characters, shown):
        with self.lock:
            self.stream.write(characters)
            self.stream.flush()
            self._shown = shown

    def _width(self):
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except OSError:  # it is a terminal by its own account alone
            return 80
