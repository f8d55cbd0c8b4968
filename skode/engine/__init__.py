"""The adjoint gradient descent on arrays: it knows neither scikit-learn nor its array library."""
