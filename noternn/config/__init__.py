"""Types and ranges of the settings: a file for each group of conf/."""
