"""One job, from the configuration to its results: build, fit, grid, results."""
