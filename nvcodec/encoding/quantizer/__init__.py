"""Rounding in the loop: the first steps, steps that are learned, and the rate they cost."""
