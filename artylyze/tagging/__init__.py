"""Tagging a collection: planning the run, the work on a shard, and the Ray Data pipeline that spreads it."""
