"""Built-in data: drawn portraits and two-dimensional densities."""
