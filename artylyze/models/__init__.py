"""Backbones, heads, the bundle that holds them, the runtimes that apply them, the starter. Nothing here uses Ray.

`bundle`, `card`, `cache`, `scores` and `CpuRuntime` need neither torch nor timm; the rest imports them when needed.
"""
