"""The normative integer arithmetic (specification, sections 6 and 7): what every decoder computes to the bit."""
