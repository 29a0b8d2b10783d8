"""Routes under `/v1/`; a trailing slash is as good as none, and ids may contain slashes."""

from __future__ import annotations

from django.urls import re_path

from . import queue, tasks, usage, views
from .description.view import DocumentView

# Any characters, line breaks too: an odd name is an unknown model, not an unknown route.
MODEL = r"(?P<model>[\s\S]+?)"

# vLLM's own server has these beside /v1.
root_patterns = [
    re_path(r"^tokenize/?\Z", tasks.TokenizeView.as_view()),
    re_path(r"^detokenize/?\Z", tasks.DetokenizeView.as_view()),
    re_path(r"^rerank/?\Z", tasks.RerankView.as_view()),
    re_path(r"^score/?\Z", tasks.ScoreView.as_view()),
]

urlpatterns = [
    re_path(r"^chat/completions/?\Z", views.ChatCompletionsView.as_view()),
    re_path(r"^completions/?\Z", views.CompletionsView.as_view()),
    re_path(r"^embeddings/?\Z", tasks.EmbeddingsView.as_view()),
    re_path(r"^rerank/?\Z", tasks.RerankView.as_view()),
    re_path(r"^score/?\Z", tasks.ScoreView.as_view()),
    re_path(r"^tokenize/?\Z", tasks.TokenizeView.as_view()),
    re_path(r"^detokenize/?\Z", tasks.DetokenizeView.as_view()),
    re_path(r"^models/?\Z", views.ModelsView.as_view()),
    re_path(rf"^models/{MODEL}/?\Z", views.ModelView.as_view()),
    re_path(r"^engines/?\Z", views.EnginesView.as_view()),
    re_path(rf"^engines/{MODEL}/chat/completions/?\Z", views.ChatCompletionsView.as_view()),
    re_path(rf"^engines/{MODEL}/completions/?\Z", views.CompletionsView.as_view()),
    re_path(rf"^engines/{MODEL}/embeddings/?\Z", tasks.EmbeddingsView.as_view()),
    re_path(rf"^engines/{MODEL}/?\Z", views.EngineView.as_view()),
    re_path(r"^queue/?\Z", queue.QueueView.as_view()),
    re_path(r"^usage/?\Z", usage.UsageView.as_view()),
    re_path(r"^status/?\Z", queue.StatusView.as_view()),
    re_path(r"^openapi\.json/?\Z", DocumentView.as_view()),
    re_path(r"", views.UnknownView.as_view()),
]
