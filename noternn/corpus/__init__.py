"""Files -> tokens in a cache, grouped, split, as ids; what a corpus holds."""
