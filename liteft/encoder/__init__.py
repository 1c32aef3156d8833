"""Facts about encoder classifiers: families, module names, sizes, the layout of the weights, and the graph's node.

Everything here is data and plain functions of names and numbers, shared by the code that trains, the code that writes
graphs and the code that runs them. Nothing here imports torch, numpy or onnx.
"""
