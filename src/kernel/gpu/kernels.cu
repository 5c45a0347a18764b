// Kernels written by hand.
