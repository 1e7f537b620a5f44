from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):
    """Hashed names for ever-lasting caching; import statements between JavaScript modules are rewritten to them too."""

    support_js_module_import_aggregation = True
    max_post_process_passes = 8
