"""Settings of the whole project. What an operator may change comes from the environment.

docs/operations.md lists every variable.
"""

from datetime import timedelta
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF

from playground import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

# Everything that this installation writes: database, secret key, models, logs.
LLMS_DATA = Path(env.text("LLMS_DATA", str(BASE_DIR / "var"))).resolve()
HOST = env.text("HOST", "127.0.0.1")
PORT = int(env.number("PORT", 8000))

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.secret_key(LLMS_DATA)
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", "*" if HOST == "0.0.0.0" else "")
if not ALLOWED_HOSTS:
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", HOST]
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "inference",
    "playground",
    "playground.accounts",
    "playground.api",
    "playground.catalogue",
    "playground.conversations",
    "playground.custom",
]

# Pages and the admin. The API has its own short list in `asgi.py`.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "playground.sign_in.PeopleOnly",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "playground.urls"
ASGI_APPLICATION = "playground.asgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "playground.sign_in.doors",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", f"sqlite:///{LLMS_DATA / 'db.sqlite3'}"),
        conn_max_age=600,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets readers go on while somebody writes; IMMEDIATE makes a writer wait for its turn
    # instead of failing half-way through a transaction.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": env.number("DATABASE_LOCK_SECONDS", 20),
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
# The server's connections to PostgreSQL, and how long it waits for an answer.
DATABASE_CONNECTIONS = int(env.number("DATABASE_CONNECTIONS", 10, least=3))
DATABASE_SECONDS = env.number("DATABASE_SECONDS", 20, least=0.1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = ACCOUNT_LOGOUT_REDIRECT_URL = "home"

# --- people --------------------------------------------------------------------------------------
# Who may make an account: anybody, people with an address of SIGNUP_DOMAINS, or nobody. Staff make
# accounts in the admin in each case, and sign-up links of groups let people in.
SIGNUP = env.choice("SIGNUP", "closed", ("open", "domain", "closed"))
SIGNUP_DOMAINS = tuple(domain.lower() for domain in env.listing("SIGNUP_DOMAINS"))
OIDC_ISSUER = env.text("OIDC_ISSUER")
OIDC_SIGNUP = env.choice("OIDC_SIGNUP", "open", ("open", "domain", "closed"))
# After so many wrong passwords for a name from an address, that name is locked for that address.
LOGIN_FAILURES = int(env.number("LOGIN_FAILURES", 10, least=1))
LOGIN_LOCK_SECONDS = env.number("LOGIN_LOCK_SECONDS", 900, least=1)

ACCOUNT_ADAPTER = "playground.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = [
    "username*",
    "email*" if SIGNUP == "domain" else "email",
    "password1*",
    "password2*",
]
# An address that opens the door has to be its owner's; anywhere else it is only for lost passwords.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if SIGNUP == "domain" else "none"
# Failed sign-ins are counted by axes, which also sees the admin's form.
ACCOUNT_RATE_LIMITS = {"login_failed": None}
SOCIALACCOUNT_ADAPTER = "playground.sign_in.SocialAdapter"
# A form that ends at the provider's address would need its origin in the content security policy.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.text("OIDC_NAME", "Single sign-on"),
                "client_id": env.text("OIDC_CLIENT_ID"),
                "secret": env.text("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": OIDC_ISSUER},
            }
        ]
        if OIDC_ISSUER
        else [],
    }
}
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(seconds=LOGIN_LOCK_SECONDS)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "playground.sign_in.client_ip"
AXES_LOCKOUT_CALLABLE = "playground.sign_in.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = int(env.number("EMAIL_PORT", 587, least=1))
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", True)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", "llms-for-all@localhost")
# Without a mail server, what would be sent is printed: to whoever runs the server.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"

LANGUAGE_CODE = "en"
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = LLMS_DATA / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "playground.storage.StaticStorage"},
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": ["data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Whether people come by HTTPS alone, to a proxy that says so in X-Forwarded-Proto: then cookies
# never travel otherwise, pages that were asked for otherwise send there, and browsers remember.
HTTPS = env.boolean("HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = int(env.number("HSTS_SECONDS", 31_536_000)) if HTTPS else 0
# Other hosts below ours, and the lists that browsers ship, are not this server's to decide on.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- the API -------------------------------------------------------------------------------------
AUTH_MODE = env.choice("AUTH_MODE", "open", ("open", "key"))
ALIAS_UNKNOWN = env.choice("ALIAS_UNKNOWN", "off", ("off", "default"))
TRUSTED_PROXIES = tuple(env.networks("TRUSTED_PROXIES"))
# Who may read /metrics: who asks from these addresses, and whoever has this token.
METRICS_ALLOW = tuple(env.networks("METRICS_ALLOW", "127.0.0.0/8,::1"))
METRICS_TOKEN = env.text("METRICS_TOKEN")
# Origins whose pages may call the API from a browser; "*" for all.
CORS_ORIGINS = tuple(env.listing("CORS_ORIGINS"))
MAX_BODY_BYTES = int(env.number("MAX_BODY_BYTES", 20 * 2**20, least=1024))
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
# Of all that have not come whole yet, whoever sends them.
BODIES_BYTES = int(env.number("BODIES_BYTES", 2**30, least=1024))
# A request's head has to be here in so long, and so has its body (one that is large has a second
# more for each 16 KiB that came); who does not read an answer for so long is cut off, and whose
# connection rests for so long after one has to make another.
HEAD_SECONDS = env.number("HEAD_SECONDS", 10, least=0.05)
BODY_SECONDS = env.number("BODY_SECONDS", 20, least=0.05)
STALL_SECONDS = env.number("STALL_SECONDS", 25, least=0.05)
CONNECTION_IDLE_SECONDS = env.number("CONNECTION_IDLE_SECONDS", 60, least=0.05)
CONNECTIONS_PER_ADDRESS = int(env.number("CONNECTIONS_PER_ADDRESS", 2000, least=1))
# While a request waits, its client hears something at least this often: proxies cut silence.
KEEPALIVE_SECONDS = env.number("KEEPALIVE_SECONDS", 15, least=0.05)
# When the line to a page of the playground is lost, its answers go on and are kept for so long.
RESUME_SECONDS = env.number("RESUME_SECONDS", 60)
# An answer that is not streamed says nothing while it waits: after so long, or at once where the
# wait would be longer, its client is told to ask again, and its place is kept.
MAX_SILENT_WAIT = env.number("MAX_SILENT_WAIT", 90, least=0.05)
PLACE_SECONDS = env.number("PLACE_SECONDS", 300, least=0.05)
# Pictures by their address; docs/operations.md says what an operator takes on with it.
REMOTE_MEDIA = env.boolean("REMOTE_MEDIA")
REMOTE_MEDIA_HOSTS = tuple(host.lower() for host in env.listing("REMOTE_MEDIA_HOSTS"))
REMOTE_MEDIA_BYTES = int(env.number("REMOTE_MEDIA_BYTES", 10 * 2**20, least=1))
REMOTE_MEDIA_SECONDS = env.number("REMOTE_MEDIA_SECONDS", 10, least=0.05)
# Usage records are on disk after so long: what a kill -9 may cost.
USAGE_FLUSH_SECONDS = env.number("USAGE_FLUSH_SECONDS", 0.5, least=0.05)
# Records, and sums by the hour, are deleted after so many days (0: never); sums by the day stay.
USAGE_KEEP_DAYS = env.number("USAGE_KEEP_DAYS", 400)
REST_FRAMEWORK: dict[str, object] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "playground.api.description.document.Described",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LLMs for all",
    "DESCRIPTION": "A clone of the OpenAI API. docs/api.md says what differs.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/"}],
    "SCHEMA_PATH_PREFIX": "/v1",
    "POSTPROCESSING_HOOKS": [],
}

# --- inference -----------------------------------------------------------------------------------
# Empty: what the admin chose, else the best shipped card that fits (see inference/catalogue.py).
DEFAULT_MODEL = env.text("DEFAULT_MODEL")
# Shipped cards fill missing rows at migrate.
CATALOGUE = Path(env.text("CATALOGUE", str(BASE_DIR / "inference" / "catalogue.toml")))
# Who may ask for models that are not in the catalogue, by their id on the Hub.
HUB_MODELS = env.choice("HUB_MODELS", "staff", ("off", "staff", "allowlist", "open"))
HUB_ALLOWLIST = tuple(env.listing("HUB_ALLOWLIST"))
# Patterns of licences that the operator agrees to; empty: all.
HUB_LICENCES = tuple(env.listing("HUB_LICENCES"))
# The largest model that is downloaded for somebody; 0: as large as the disk takes.
HUB_MAX_BYTES = int(env.number("HUB_MAX_BYTES", 0))
HUB_ENDPOINT = env.text("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
HUB_SECONDS = env.number("HUB_SECONDS", 10, least=0.05)
# What all weights from the Hub may take together; 0: what the disk has, less a rest.
MODEL_DISK_BYTES = int(env.number("MODEL_DISK_BYTES", 0))
# Bytes that engines on this machine may use in all, per device kind; 0: ask the hardware.
CPU_MEMORY_BYTES = int(env.number("CPU_MEMORY_BYTES", 0))
# What models compute in on a machine without GPUs; auto: float32 where the CPU lacks bfloat16.
CPU_DTYPE = env.choice("CPU_DTYPE", "auto", ("auto", "float32", "model"))
# Bytes of this machine's memory for models that sleep; 0: half of what is free, if it has GPUs.
SLEEP_MEMORY_BYTES = int(env.number("SLEEP_MEMORY_BYTES", 0))
# Whether vLLM is imported before anybody asks for a model of its own.
WARM_START = env.boolean("WARM_START", True)
QUEUE_LIMIT = int(env.number("QUEUE_LIMIT", 1000, least=1))
ACCOUNT_QUEUE_LIMIT = int(env.number("ACCOUNT_QUEUE_LIMIT", 200, least=1))
SLICE_SECONDS = env.number("SLICE_SECONDS", 900, least=0.1)
WAIT_SECONDS = env.number("WAIT_SECONDS", 1200, least=0.1)
TURN_DRAIN_SECONDS = env.number("TURN_DRAIN_SECONDS", 120, least=0.1)
IDLE_SECONDS = env.number("IDLE_SECONDS", 0, least=0)
DRAIN_SECONDS = env.number("DRAIN_SECONDS", 30)
FIRST_TOKEN_SECONDS = env.number("FIRST_TOKEN_SECONDS", 120, least=0.05)
HANG_SECONDS = env.number("HANG_SECONDS", 20, least=0.5)
LOAD_SECONDS = env.number("LOAD_SECONDS", 1800, least=0.1)
RECONCILE_SECONDS = env.number("RECONCILE_SECONDS", 2, least=0.05)
# What the jail of a custom model may take, and where its wheels come from (empty: pip's).
CUSTOM_MEMORY_BYTES = int(env.number("CUSTOM_MEMORY_BYTES", 4 * 2**30, least=2**26))
CUSTOM_OUTPUT_BYTES = int(env.number("CUSTOM_OUTPUT_BYTES", 32 * 2**20, least=2**16))
CUSTOM_PROCESSES = int(env.number("CUSTOM_PROCESSES", 128, least=8))
CUSTOM_SECONDS = env.number("CUSTOM_SECONDS", 60, least=0.1)
CUSTOM_LOAD_SECONDS = env.number("CUSTOM_LOAD_SECONDS", 600, least=0.1)
CUSTOM_WHEELS = env.text("CUSTOM_WHEELS")

# Lines for people or for programs; and whether each request that asked a model is one.
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
LOG_REQUESTS = env.boolean("LOG_REQUESTS")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "class": "playground.logs.TextFormatter",
            "format": "{asctime} {levelname} {name}{whose}: {message}",
            "style": "{",
        },
        "json": {"class": "playground.logs.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # Django logs every 5xx answer, a 503 of /readyz too: only those with a traceback are news.
    "filters": {
        "with_traceback": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: bool(record.exc_info),
        }
    },
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "WARNING")},
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["with_traceback"]},
        "inference": {"level": env.text("LOG_LEVEL", "INFO")},
        "vllm": {"level": "ERROR"},
        # Who asks the database says what it lacks; the pool would say it for each of its tries.
        "psycopg.pool": {"level": "ERROR"},
        "playground": {"level": env.text("LOG_LEVEL", "INFO")},
    },
}
