"""
Large data: parts of a memory map
=================================

A table that does not fit into memory can be a file, and a network can learn it part by part. This
example writes a table of 200 000 rows to a file, opens it as a memory map, and calls
:meth:`~skode.ODENetClassifier.partial_fit` on one part after another.

The table is generated. It has twenty features, and the class depends on the products of four pairs
of them. Some noise is added, so that no model can always be right.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.linear_model import SGDClassifier

from skode import ODENetClassifier

N_ROWS, N_FEATURES, PART, NOISE = 200_000, 20, 4_000, 0.5

# %%
# A file
# ------
#
# Write the numbers scaled, since a scaler in a pipeline would copy the table into memory. Half
# precision is too little, but single precision (float32) is enough, and it halves the file and the
# time.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "X.npy"
X = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=(N_ROWS, N_FEATURES))
rng = np.random.default_rng(0)
y = np.empty(N_ROWS, dtype=int)
for start in range(0, N_ROWS, PART):
    rows = slice(start, start + PART)
    X[rows] = rng.normal(size=(PART, N_FEATURES))
    signal = sum(X[rows, k] * X[rows, k + 1] for k in (0, 2, 4, 6))
    y[rows] = signal + NOISE * rng.normal(size=PART) > 0
X.flush()
best = norm.cdf(np.abs(signal) / NOISE).mean()  # nobody can do better on the last part
print(f"{path.stat().st_size / 1e6:.0f} MB")

# %%
# Part by part
# ------------
#
# Each call of ``partial_fit`` is one epoch of Adam over its rows. The first call needs the names of
# all classes. The last part is for judging, and is never trained on. A linear model, also trained
# part by part, shows what can be had without products of features.

X = np.load(path, mmap_mode="r")
models = {
    "ODENetClassifier": ODENetClassifier(solver="adam", random_state=0),
    "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
}
held_out = slice(N_ROWS - PART, N_ROWS)
seen, accuracy = [], {name: [] for name in models}
for start in range(0, N_ROWS - PART, PART):
    rows = slice(start, start + PART)
    for name, model in models.items():
        model.partial_fit(X[rows], y[rows], classes=[0, 1])
        accuracy[name].append(model.score(X[held_out], y[held_out]))
    seen.append(start + PART)
for name, scores in accuracy.items():
    print(f"{name:18} accuracy on held-out rows: {scores[-1]:.3f}")

# %%
# At no time was there more in memory than a part and the network.

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
for (name, scores), colour, marker in zip(accuracy.items(), ("#0072B2", "0.45"), "os", strict=True):
    ax.plot(seen, scores, color=colour, marker=marker, ms=4, label=name)
ax.axhline(best, color="0.2", ls=":", label="best possible")
ax.set(xlabel="rows seen", ylabel="accuracy on held-out rows", ylim=(0.45, 1))
ax.xaxis.set_major_formatter("{x:,.0f}")
ax.grid(color="0.9")
ax.legend(loc="center right", frameon=False)
plt.show()

del X  # close the file before its folder is removed
folder.cleanup()

# %%
# If the file can be read several times, ``fit`` accepts the memory map as a whole. It works on
# blocks of rows, makes several epochs, and holds samples out by itself; see
# :doc:`/user_guide/large_data_and_gpus`.
