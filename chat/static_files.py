from __future__ import annotations

from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashed names for ever-lasting caching; import statements between JavaScript modules are rewritten to them too."""

    support_js_module_import_aggregation = True
    max_post_process_passes = 8


class StaticFiles(StaticFilesConfig):
    """Leaves htmx's extensions out: the page uses none, and they import names that are no files."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "ext"]
