"""Figures, drawn with matplotlib without a screen."""
