"""Price ladders, the compiled kernels over them, and the gate that refuses silent, gapped or crossed books."""
