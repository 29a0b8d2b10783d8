"""Routes under `/staff/`."""

from __future__ import annotations

from django.urls import re_path

from ..urls import MODEL
from ..views import UnknownView
from .views import FitView, LiveView, LogView, TestView

urlpatterns = [
    re_path(r"^live/?\Z", LiveView.as_view(), name="staff-live"),
    re_path(r"^fit/?\Z", FitView.as_view(), name="staff-fit"),
    re_path(rf"^log/{MODEL}/?\Z", LogView.as_view(), name="staff-log"),
    re_path(rf"^test/{MODEL}/?\Z", TestView.as_view(), name="staff-test"),
    re_path(r"", UnknownView.as_view()),
]
