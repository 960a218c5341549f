"""The Python API: what `import artylyze` offers, one function for each step and classes for what they work on."""
