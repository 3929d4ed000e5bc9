"""A fitted network to the integer operations of a layer, and a layer back to a float network."""
