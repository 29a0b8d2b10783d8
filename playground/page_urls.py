"""Addresses of the pages."""

from django.urls import path

from playground import views

urlpatterns = [
    path("", views.home, name="home"),
    path("status", views.status, name="status"),
    path("docs/api", views.api_docs, name="api-docs"),
]
