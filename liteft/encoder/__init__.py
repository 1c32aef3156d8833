"""What is known of encoder classifiers without running one: families, names of their modules, sizes, weights, the node.

Everything here is data and plain functions over names and numbers, so that the code that trains, the code that writes
graphs and the code that runs them read the same facts. Nothing here imports torch, numpy or onnx.
"""
