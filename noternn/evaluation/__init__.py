"""Likelihoods of held-out pieces, one way and another; ways of sampling side by side."""
