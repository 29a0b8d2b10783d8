"""Routes under `/v1/audio/`."""

from __future__ import annotations

from django.urls import re_path

from . import views

urlpatterns = [
    re_path(r"^transcriptions/?\Z", views.TranscriptionsView.as_view()),
    re_path(r"^translations/?\Z", views.TranslationsView.as_view()),
    re_path(r"^speech/?\Z", views.SpeechView.as_view()),
]
