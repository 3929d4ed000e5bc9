"""The part of ``bitstream_spec.md`` that needs no torch: units, operations, arithmetic, entropy coding, limits."""
