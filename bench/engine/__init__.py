"""The engine against what people would run instead, on the same machine with the same weights, in one run."""
