"""Local features and matchers from the papers: SIFT, ALIKED, SuperPoint; SuperGlue, LightGlue.

Pixels count from the centre of the top-left pixel (OpenCV), whatever an extractor's own convention.
"""
