"""Networks of other papers behind this codec's fit, quantisation and entropy coding (see README.md)."""
