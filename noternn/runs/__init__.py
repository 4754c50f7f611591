"""A run's folder, read: epochs, verdict, comparison, recorded studies."""
