"""Addresses of the pages."""

from django.urls import path

from playground import account_page, model_pages, people, usage_page, views
from playground.catalogue import views as catalogue
from playground.conversations import views as conversations
from playground.custom import views as custom
from playground.guide import views as guide

urlpatterns = [
    path("", views.home, name="home"),
    path("models", model_pages.models, name="models"),
    path("models/<path:model_id>", model_pages.model, name="model"),
    path("wanted", catalogue.wanted, name="wanted"),
    path("wanted/<int:pk>/take-back", catalogue.take_back, name="take-back"),
    path("status", views.status, name="status"),
    path("keys", people.keys, name="keys"),
    path("keys/<int:pk>/revoke", people.revoke, name="revoke-key"),
    path("usage", usage_page.usage, name="usage"),
    path("usage.csv", usage_page.usage_csv, name="usage-csv"),
    path("account", account_page.account, name="account"),
    path("account/export", account_page.export, name="export"),
    path("account/delete", account_page.delete, name="delete-account"),
    path("privacy", account_page.privacy_page, name="privacy"),
    path("join/<str:token>", people.join, name="join"),
    path("custom", custom.submissions, name="custom"),
    path("custom/<str:name>/withdraw", custom.withdraw, name="custom-withdraw"),
    path("conversations", conversations.conversations, name="conversations"),
    path("conversations/keeping", conversations.keeping, name="keeping"),
    path("conversations/<uuid:pk>", conversations.conversation, name="conversation"),
    path("conversations/<uuid:pk>/share", conversations.share, name="share"),
    path("shared/<str:token>", conversations.shared, name="shared"),
    path("docs", guide.quick_start, name="docs"),
    path("docs/waiting", guide.waiting, name="docs-waiting"),
    path("docs/limits", guide.limits, name="docs-limits"),
    path("docs/errors", guide.errors, name="docs-errors"),
    path("docs/api", views.api_docs, name="api-docs"),
]
