"""Triton Inference Server: a model repository that serves an artifact, and the models that run in it.

`repository` writes one, of either kind. "python" is one model of Triton's Python backend, text in and labels out
(`text_model`). "ensemble" splits a text into tokens in such a model (`token_model`) and runs a graph in Triton's ONNX
Runtime backend, in libliteft's operator and without padding (`ragged`). `tensors` says what goes in and out, `config`
writes Triton's configuration, `gate` compares a written repository with its artifact on texts, and `checking` finds out
later whether it is still the one that was written.

`python_model`, `text_model` and `token_model` are imported inside Triton, whose Python has liteft's runtime and neither
onnx nor torch; nothing is imported here for their sake. No Triton server has run any of this:
docs/guides/triton.md says what was checked instead.
"""
