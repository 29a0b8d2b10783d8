"""Every address of the site. `/v1` and the probes are served by the short ASGI path (`asgi.py`)."""

from django.contrib import admin
from django.urls import include, path, re_path

from playground import probes

admin.site.site_header = admin.site.site_title = "LLMs for all"
admin.site.index_title = "Administration"

urlpatterns = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    re_path(r"^v1(?:/|\Z)", include("playground.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("playground.page_urls")),
]
