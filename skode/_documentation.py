"""Where the documentation is published."""

ADDRESS = "https://skode.readthedocs.io"  # also under [project.urls] in pyproject.toml
# Every public object has its own page.
PAGE_OF_ESTIMATOR = f"{ADDRESS}/en/stable/api/generated/skode.{{estimator_name}}.html"
PAGE_ON_DASK = f"{ADDRESS}/en/stable/api/generated/skode.dask.{{estimator_name}}.html"
