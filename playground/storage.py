"""How static files are stored: compressed, and under names that hold a hash of their content."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Whitenoise's storage, which also puts hashed names into the imports of ES modules."""

    # Without it a module would import its neighbour under the plain name: not cached for good,
    # and after an upgrade a page could mix old and new modules.
    support_js_module_import_aggregation = True
