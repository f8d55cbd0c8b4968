"""Training and prediction of networks on arrays, without scikit-learn or a given array library."""
