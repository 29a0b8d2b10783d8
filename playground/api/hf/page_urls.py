"""Routes under `/ask/`, for our own pages."""

from __future__ import annotations

from django.urls import re_path

from ..urls import MODEL
from .pages import AskView
from .views import NowhereView

urlpatterns = [
    re_path(rf"^{MODEL}/?\Z", AskView.as_view(), name="ask"),
    re_path(r"", NowhereView.as_view()),
]
