"""Hugging Face's inference API: `POST /hf/models/{id}`, typed by that project's own dataclasses.

`kinds` says which types a task has, `schemas` the same as JSON Schemas, `typed` holds a value
against a type, `reading` makes a request of a body, `answers` a response of a result; `generation`
is text in the words of that API.
"""
