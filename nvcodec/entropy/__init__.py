"""Integers to bytes and back with integer frequency tables (specification, section 5). Imports no torch."""
