"""Addresses of the pages."""

from django.urls import path

from playground import people, views

urlpatterns = [
    path("", views.home, name="home"),
    path("status", views.status, name="status"),
    path("keys", people.keys, name="keys"),
    path("keys/<int:pk>/revoke", people.revoke, name="revoke-key"),
    path("join/<str:token>", people.join, name="join"),
    path("docs/api", views.api_docs, name="api-docs"),
]
