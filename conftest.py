"""Where pytest does not look: doctests and modules that need the extra "onnx", without it."""

from importlib.util import find_spec

collect_ignore_glob = []
if not all(map(find_spec, ("onnx", "onnxruntime", "skl2onnx"))):
    collect_ignore_glob.append("skode/onnx/*")
