"""Reads include/llama4/llama4.h and writes what the bindings are made of. bindings/README.md describes the convention."""
