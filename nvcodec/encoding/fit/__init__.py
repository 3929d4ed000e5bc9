"""Fitting the float network to one clip."""
