"""From the float network to integers: steps for the fit, then the list of operations for the stream."""
