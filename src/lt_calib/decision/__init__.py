"""What to do with probabilities."""
