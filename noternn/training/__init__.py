"""A corpus and a network -> a run in its folder."""
