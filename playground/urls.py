"""Every address of the site. `/v1` and the probes are served by the short ASGI path (`asgi.py`)."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path, re_path

from playground import probes
from playground.api.urls import root_patterns
from playground.metrics.views import MetricsView

admin.site.site_header = admin.site.site_title = "LLMs for all"
admin.site.index_title = "Administration"

# One sign-in for everybody, with the lock-out and single sign-on.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

handler500 = "playground.views.server_error"

urlpatterns = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", MetricsView.as_view()),
    *root_patterns,
    re_path(r"^v1/audio/", include("playground.api.audio.urls")),
    re_path(r"^v1(?:/|\Z)", include("playground.api.urls")),
    re_path(r"^hf(?:/|\Z)", include("playground.api.hf.urls")),
    re_path(r"^staff/", include("playground.api.staff.urls")),
    re_path(r"^ask/", include("playground.api.hf.page_urls")),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("", include("playground.page_urls")),
]
