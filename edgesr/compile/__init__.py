"""Passes over ONNX networks and the engines made of them: simpler, typed FP16 or INT8, checked, measured."""
