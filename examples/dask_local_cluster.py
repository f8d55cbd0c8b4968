"""Train on a Dask cluster: two processes of this machine, each with half of the rows.

Usage: python examples/dask_local_cluster.py [--rows 400000]

The same lines train on a cluster of many machines: only the address of its scheduler differs,
``Client("tcp://scheduler:8786")``.  Parquet files take the place of the arrays made here:
``fit("folder/part-*.parquet", "name_of_y")``.
"""

import argparse
import time

import dask.array as da
from dask.distributed import Client, LocalCluster

from skode.dask import DaskODENetClassifier


def table(n_rows):
    """Return samples of two classes, which the workers make when they need them."""
    rng = da.random.default_rng(0)
    X = rng.normal(size=(n_rows, 8), chunks=(n_rows // 8, 8)).astype("float32")
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)
    return X, y


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=400_000)
    args = parser.parse_args()

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster):
        X, y = table(args.rows)
        model = DaskODENetClassifier(n_channels=8, N=5, max_iter=50, random_state=0)
        start = time.perf_counter()
        model.fit(X, y)
        print(f"{args.rows} rows: {time.perf_counter() - start:.1f} s, {model.n_iter_} iterations")
        print(f"accuracy on held-out rows: {model.oof_score_:.3f}")

        # Predictions are computed by the workers, block by block, when they are asked for.
        proba = model.predict_proba(X)
        print(proba)
        print("share of the second class:", proba[:, 1].mean().compute().round(3))

    # The ordinary estimator needs no cluster: predict, save, explain and plot with it.
    print(model.to_local())


if __name__ == "__main__":
    main()
