"""How sphinx-gallery runs the examples."""

import inspect
import re
from pathlib import Path

import imageio_ffmpeg
import matplotlib as mpl

EXAMPLES = Path(__file__).parents[2] / "examples"


class QuickArguments:
    """`--quick` for examples that know it: what takes minutes is shortened in the build."""

    def __repr__(self):  # part of what decides whether a page is built again
        return inspect.getsource(type(self))

    def __call__(self, gallery_conf, script_vars):
        """Return the arguments of the example."""
        source = Path(script_vars["src_file"]).read_text(encoding="utf-8")
        return ["--quick"] if re.search(r"add_argument\(\s*\"--quick\"", source) else []


def reset(gallery_conf, fname):
    """Let matplotlib write videos with a program that comes with the `docs` extra."""
    mpl.rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()
