"""The normative integer arithmetic (specification, sections 6 and 7). Needs no torch."""
