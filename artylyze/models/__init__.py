"""Backbones, heads, the bundle that carries them, the runtimes that apply them, the starter. Nothing here knows Ray.

`bundle`, `card`, `cache`, `scores` and `OnnxRuntime` need neither torch nor timm; the rest imports them when needed.
"""
