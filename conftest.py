"""Where pytest does not look: doctests and modules that need an extra which is not installed."""

from importlib.util import find_spec

collect_ignore_glob = []
if not all(map(find_spec, ("onnx", "onnxruntime", "skl2onnx"))):
    collect_ignore_glob.append("skode/onnx/*")
if not all(map(find_spec, ("dask", "distributed"))):
    collect_ignore_glob.append("skode/dask/*")
if not all(map(find_spec, ("art", "multiprocess"))):
    collect_ignore_glob.append("skode/robustness/_art*")
