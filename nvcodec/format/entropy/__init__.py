"""Entropy coding: frequency tables, contexts, and chunks of the range coder (specification, section 5)."""
