"""All that ``bitstream_spec.md`` says and that needs no torch: records, operations, arithmetic, entropy coding."""
