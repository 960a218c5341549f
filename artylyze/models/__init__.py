"""Backbones, heads, the bundle that carries them, and the runtimes that apply them. Nothing here knows Ray.

`bundle`, `scores` and `OnnxRuntime` need neither torch nor timm; the rest imports them when it needs them.
"""
