"""How good a model is: predictions, figures and pictures of them, comparisons."""
