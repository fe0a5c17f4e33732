"""Parts of a fine-tuning run: arguments, the Trainer, checkpoints. `stiltgrid.train.run` puts them together."""
