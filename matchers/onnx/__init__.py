"""The networks as ONNX graphs: a module for each, and the writing of the files."""
