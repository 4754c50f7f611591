"""Ids and a state -> logits and a state."""
