"""Models of every other task, through transformers' pipelines and its Auto classes.

`program.PipelineProgram` is what a child process runs: it finds the `Kind` of its task (`kinds`),
which reads inputs (`media`: pictures, sounds and films from bytes), asks the model, and writes the
result in the shape of Hugging Face's inference API.
"""
