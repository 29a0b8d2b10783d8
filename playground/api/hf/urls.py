"""Routes under `/hf/`; ids may contain slashes."""

from __future__ import annotations

from django.urls import re_path

from ..urls import MODEL
from . import views
from .description import DocumentView

urlpatterns = [
    re_path(r"^openapi\.json/?\Z", DocumentView.as_view()),
    re_path(rf"^models/{MODEL}/v1/chat/completions/?\Z", views.ChatView.as_view()),
    re_path(rf"^models/{MODEL}/?\Z", views.ModelView.as_view()),
    re_path(r"", views.NowhereView.as_view()),
]
