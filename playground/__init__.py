"""The web-facing Django project: pages, the chat websocket, people, and the OpenAI API."""
