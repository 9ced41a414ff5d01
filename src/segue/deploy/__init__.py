"""Trained models made small and fast: ONNX, int8, and what that changes, measured beside."""
