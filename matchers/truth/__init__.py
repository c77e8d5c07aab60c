"""Which keypoints of two frames belong together, and how matches are judged by it.

One set of rules (`rules`) for the benchmark, `satgen match` and training; two computations of it:
`exact`, in NumPy, of one pair, and `batched`, in PyTorch, of many at once. Only `batched` imports
torch.
"""
