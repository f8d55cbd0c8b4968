"""A line of the terminal that is updated during a fit."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys


def is_terminal(stream):
    """Whether a line of the stream can be overwritten: not in files, pipes and notebooks.

    Child processes share the terminal of the first process, and must not overwrite its line either.
    """
    first = multiprocessing.current_process().name == "MainProcess"
    return first and stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


class Line(logging.StreamHandler):
    """Messages on a terminal, above a last line that changes."""

    def __init__(self):
        super().__init__(sys.stderr)
        self._shown = ""

    def show(self, *texts):
        """Overwrite the line with the first text that fits the width of the terminal.

        If none fits, the last one is truncated, since a longer line could not be overwritten.
        """
        width = self._width() - 1
        text = next((text for text in texts if len(text) <= width), texts[-1][:width])
        self._write("\r" + text.ljust(len(self._shown)), text)

    def erase(self):
        """Clear the line for the output of others."""
        if self._shown:
            self._write("\r" + " " * len(self._shown) + "\r", "")

    def emit(self, record):
        """Write a message in place of the line, and continue below."""
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
        except OSError:  # the stream only claims to be a terminal
            return 80
