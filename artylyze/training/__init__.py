"""From labelled images to a model bundle: curate, train, tune, evaluate."""
