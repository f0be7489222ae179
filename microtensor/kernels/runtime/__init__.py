"""Compiling and running kernels: the compiler and its cache, threads, vector registers, memory, and what a user can choose."""
