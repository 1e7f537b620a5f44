"""Settings of the project. Values come from the environment only; nonsense is refused at start, in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO, cast
from urllib.parse import urlsplit

import dj_database_url
import structlog
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from qwenweb.log_lines import STDERR

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str = "") -> str:
    """The variable, or what stands in the file that `<name>_FILE` points to (secrets by file)."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: {path} cannot be read ({error.strerror}).") from None
    return os.environ.get(name, default)


def env_bool(name: str, default: bool) -> bool:
    value = env(name, str(default)).lower()
    if value not in {"true", "false", "1", "0", "yes", "no"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not “{value}”.")
    return value in {"true", "1", "yes"}


def env_number(name: str, default: float, least: float) -> float:
    value = env(name, str(default))
    try:
        number = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not “{value}”.") from None
    if not number >= least:
        raise ImproperlyConfigured(f"{name} must be at least {least:g}, not “{value}”.")
    return number


def env_secret_key(data_dir: Path) -> str:
    key = env("QWENWEB_SECRET_KEY")
    path = data_dir / "secret_key"
    if not key and path.is_file():
        key = path.read_text().strip()
    if not key:
        raise ImproperlyConfigured(
            "There is no secret key: start once with `make run`, or set QWENWEB_SECRET_KEY or QWENWEB_SECRET_KEY_FILE."
        )
    if len(key) < 50 or len(set(key)) < 10:
        raise ImproperlyConfigured("The secret key is too weak: use at least 50 random characters.")
    return key


def is_safe(address: str) -> bool:
    """Whether nobody on the way can read along: over HTTPS, or on this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1"})


def env_origins() -> list[str]:
    origins = [origin.strip() for origin in env("QWENWEB_ORIGINS", "http://127.0.0.1:8000").split(",")]
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise ImproperlyConfigured(
                f"QWENWEB_ORIGINS must list addresses like https://chat.example.org, not “{origin}”."
            )
    return origins


DATA_DIR = Path(env("QWENWEB_DATA_DIR") or BASE_DIR / "var").resolve()
SECRET_KEY = env_secret_key(DATA_DIR)
DEBUG = env_bool("QWENWEB_DEBUG", default=False)

# The exact origins that may open the page's websocket; hosts and HTTPS follow from them.
ORIGINS = env_origins()
# Probes ask on the machine itself, by its own address.
ALLOWED_HOSTS = sorted({urlsplit(origin).hostname or "" for origin in ORIGINS} | {"127.0.0.1"})
CSRF_TRUSTED_ORIGINS = ORIGINS
IS_HTTPS = all(origin.startswith("https://") for origin in ORIGINS)

# The model and the workers
MODEL = env("QWENWEB_MODEL")
HEARTBEAT_S = env_number("QWENWEB_HEARTBEAT_S", 2, least=0.1)
LEASE_S = env_number("QWENWEB_LEASE_S", 8, least=0.5)
SWEEP_S = env_number("QWENWEB_SWEEP_S", 2, least=0.1)
MAX_TOKENS = int(env_number("QWENWEB_MAX_TOKENS", 4096, least=1))
DEADLINE_S = env_number("QWENWEB_DEADLINE_S", 900, least=1)
# How long a worker that is to leave lets its replies end before it hands them over
DRAIN_S = env_number("QWENWEB_DRAIN_S", 10, least=0)
# What one person may have at work and waiting, and what part of the devices each class of replies gets at least
USER_RUNNING = int(env_number("QWENWEB_USER_RUNNING", 8, least=1))
USER_QUEUED = int(env_number("QWENWEB_USER_QUEUED", 32, least=1))
LEAST_SHARE = env_number("QWENWEB_LEAST_SHARE", 0.1, least=0)
if LEASE_S < 2 * HEARTBEAT_S:
    raise ImproperlyConfigured("QWENWEB_LEASE_S must be at least twice QWENWEB_HEARTBEAT_S.")

# A model that looks at each message before it is sent, and may look at each reply before it is shown; empty: none does.
MODERATION_URL = env("QWENWEB_MODERATION_URL")
MODERATION_KEY = env("QWENWEB_MODERATION_KEY")
if MODERATION_URL and not MODERATION_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"QWENWEB_MODERATION_URL must be a web address, not “{MODERATION_URL}”.")
MODERATES_REPLIES = env_bool("QWENWEB_MODERATION_REPLIES", default=False)
if MODERATES_REPLIES and not MODERATION_URL:
    raise ImproperlyConfigured("QWENWEB_MODERATION_REPLIES needs QWENWEB_MODERATION_URL: the server that checks them.")
HAS_PUBLIC_LINKS = env_bool("QWENWEB_PUBLIC_LINKS", default=False)
LINK_DAYS = int(env_number("QWENWEB_LINK_DAYS", 90, least=1))
# Nobody, anybody, anybody whom an administrator then lets in, or the owners of addresses in these domains.
SIGNUP = env("QWENWEB_SIGNUP", "false").lower()
IS_SIGNUP_OPEN = SIGNUP in {"true", "1", "yes", "approval"}
NEEDS_APPROVAL = SIGNUP == "approval"
SIGNUP_DOMAINS = [] if IS_SIGNUP_OPEN or SIGNUP in {"false", "0", "no"} else SIGNUP.replace(" ", "").split(",")
if not all("." in domain.strip(".") and "@" not in domain for domain in SIGNUP_DOMAINS):
    raise ImproperlyConfigured(f"QWENWEB_SIGNUP must be true, false, approval or domains, not “{SIGNUP}”.")

# Who must have a second factor of sign-in, and is led to set one up.
SECOND_FACTOR = env("QWENWEB_SECOND_FACTOR", "optional").lower()
if SECOND_FACTOR not in {"optional", "admins", "everybody"}:
    raise ImproperlyConfigured(f"QWENWEB_SECOND_FACTOR must be optional, admins or everybody, not “{SECOND_FACTOR}”.")

# Sign-in by another server (OpenID Connect), where its address is set.
OIDC_ISSUER = env("QWENWEB_OIDC_ISSUER").rstrip("/")
OIDC_NAME = env("QWENWEB_OIDC_NAME") or urlsplit(OIDC_ISSUER).hostname or ""
OIDC_CLIENT_ID = env("QWENWEB_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env("QWENWEB_OIDC_CLIENT_SECRET")
OIDC_JOIN = env_bool("QWENWEB_OIDC_JOIN", default=False)
if OIDC_ISSUER and not is_safe(OIDC_ISSUER):
    raise ImproperlyConfigured(f"QWENWEB_OIDC_ISSUER must be an address with https://, not “{OIDC_ISSUER}”.")
if OIDC_ISSUER and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured("QWENWEB_OIDC_ISSUER needs QWENWEB_OIDC_CLIENT_ID: the other server gives it out.")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "chat.static_files.StaticFiles",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chat.language.LanguageMiddleware",
    "chat.second_factor.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "qwenweb.urls"
ASGI_APPLICATION = "qwenweb.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["chat.templatetags.icons"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "chat.notices.notices",
            ],
        },
    }
]

# Postgres. A pool lends connections to threads; a statement that hangs ends, instead of holding a thread for ever.
_database = dj_database_url.parse(
    env("DATABASE_URL", "postgres://qwenweb@localhost/qwenweb"), conn_max_age=0, conn_health_checks=True
)
_database["OPTIONS"] = {
    **_database.get("OPTIONS", {}),
    "application_name": "qwenweb",
    "connect_timeout": 5,
    "options": "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=30000",
}
HAS_DATABASE_POOL = env_bool("QWENWEB_DATABASE_POOL", default=True)
if HAS_DATABASE_POOL:
    _database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 12, "timeout": 5, "max_idle": 60}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Valkey
REDIS_URL = env("REDIS_URL", "redis://localhost:6379/0")
# What all web processes count together, and what each may know for itself
CACHES = {
    "default": {"BACKEND": "chat.cache.SharedCache", "KEY_PREFIX": "cache"},
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}


def _broker_url(url: str) -> str:
    """Celery's spelling of the same server; it keeps its queues in database 1, apart from the reply streams."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?virtual_host=1"
    return parts._replace(path="/1").geturl()


CELERY_BROKER_URL = _broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 43200, "socket_timeout": 30, "socket_connect_timeout": 2}
CELERY_BROKER_HEARTBEAT = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"chat.tasks.wake": {"queue": "gpu"}}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # in memory: a missed sweep needs no catching up
CELERY_BEAT_SCHEDULE = {
    # A sweep that waited longer than its period is stale: the next one does the same work.
    "sweep": {"task": "chat.tasks.sweep", "schedule": SWEEP_S, "options": {"expires": SWEEP_S, "queue": "default"}},
    "roll-up": {"task": "chat.tasks.roll_up", "schedule": 600.0, "options": {"expires": 600, "queue": "default"}},
    # Each hour and not each day: a schedule in memory that waits for a day waits for ever on a server restarted daily.
    "retention": {"task": "chat.tasks.remove_unused", "schedule": 3600.0, "options": {"queue": "default"}},
    "clear-sessions": {"task": "chat.tasks.clear_sessions", "schedule": 86400.0, "options": {"queue": "default"}},
}

# Accounts
AUTH_USER_MODEL = "chat.User"
AUTHENTICATION_BACKENDS = ["chat.accounts.AccountBackend"]
SESSION_ENGINE = "chat.sessions"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "chat.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "chat.forms.SignInForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_ADAPTER = "chat.second_factor.Adapter"
MFA_FORMS = {
    "authenticate": "chat.second_factor.SignInForm",
    "reauthenticate": "chat.second_factor.ConfirmForm",
    "edit_webauthn": "chat.second_factor.PasskeyNameForm",
}
MFA_TOTP_TOLERANCE = 1
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_PASSKEY_LOGIN_ENABLED = True
SOCIALACCOUNT_ADAPTER = "chat.oidc.Adapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True}}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
DEFAULT_FROM_EMAIL = env("QWENWEB_EMAIL_FROM", "qwenweb@localhost")
EMAIL_HOST = env("QWENWEB_EMAIL_HOST")
EMAIL_PORT = int(env_number("QWENWEB_EMAIL_PORT", 587, least=1))
EMAIL_HOST_USER = env("QWENWEB_EMAIL_USER")
EMAIL_HOST_PASSWORD = env("QWENWEB_EMAIL_PASSWORD")
EMAIL_USE_TLS = env_bool("QWENWEB_EMAIL_TLS", default=True)
# Without a mail server, letters (password resets) are written to files that the operator can hand over.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = DATA_DIR / "mail"

# Languages and time
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文"), ("ar", "العربية")]
# Before those of the applications: our words for "Password" or "Delete" are ours everywhere.
LOCALE_PATHS = [BASE_DIR / "chat" / "locale"]
FORMAT_MODULE_PATH = ["chat.formats"]
TIME_ZONE = env("QWENWEB_TIME_ZONE", "UTC")
USE_TZ = True

# Static files: hashed names, compressed once, served for ever.
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "chat.static_files.HashedStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

# What a browser may do with the page
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_NAME = "__Host-session" if IS_HTTPS else "session"
CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if IS_HTTPS else "csrf"
CSRF_FAILURE_VIEW = "chat.views.errors.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# Logs: one line an event, to standard error; what people write never goes there.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
    ],
    logger_factory=structlog.WriteLoggerFactory(cast(TextIO, STDERR)),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "timestamp={asctime} level={levelname} logger={name} event={message}", "style": "{"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": STDERR}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # A line for every sweep would bury what matters.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "django.server": {"level": "WARNING"},
        "uvicorn.error": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
