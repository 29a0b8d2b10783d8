"""Text from a language model under transformers, in a worker: many answers grow side by side."""
