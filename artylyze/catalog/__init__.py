"""The catalog: its columns, the plan of shards, the commit protocol, and reading it all back."""
