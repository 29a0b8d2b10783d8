"""Routes under `/v1/`; a trailing slash is as good as none, and ids may contain slashes."""

from __future__ import annotations

from django.urls import re_path

from . import views
from .description.view import DocumentView

# Any characters, line breaks too: an odd name is an unknown model, not an unknown route.
MODEL = r"(?P<model>[\s\S]+?)"

urlpatterns = [
    re_path(r"^chat/completions/?\Z", views.ChatCompletionsView.as_view()),
    re_path(r"^completions/?\Z", views.CompletionsView.as_view()),
    re_path(r"^models/?\Z", views.ModelsView.as_view()),
    re_path(rf"^models/{MODEL}/?\Z", views.ModelView.as_view()),
    re_path(r"^engines/?\Z", views.EnginesView.as_view()),
    re_path(rf"^engines/{MODEL}/chat/completions/?\Z", views.ChatCompletionsView.as_view()),
    re_path(rf"^engines/{MODEL}/completions/?\Z", views.CompletionsView.as_view()),
    re_path(rf"^engines/{MODEL}/?\Z", views.EngineView.as_view()),
    re_path(r"^openapi\.json/?\Z", DocumentView.as_view()),
    re_path(r"", views.UnknownView.as_view()),
]
