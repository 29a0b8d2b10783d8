"""Conversations that people chose to keep."""

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    """Kept conversations and links to them. Staff see neither: there are no admin pages."""

    name = "playground.conversations"
    verbose_name = "Conversations"
