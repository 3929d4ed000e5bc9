"""The float network that is fitted: shapes, decoder, encoder. Decoding never imports this."""
