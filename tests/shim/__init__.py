"""NVIDIA's own Python bindings of TensorRT, run on the doubles in place of NVIDIA's library."""
