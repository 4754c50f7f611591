"""A dataset by its name -> its files, and a split that somebody made."""
