"""Which images of a collection show one work: pairs with a reason and a score, and groups."""
