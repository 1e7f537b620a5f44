"""Chats as files, out and in."""

from __future__ import annotations

from django.urls import path

from chat.views import exports, imports, organising

urlpatterns = [
    path("here/<slug:act>/", exports.here, name="here"),
    path("c/<uuid:conversation_id>/export/", exports.export, name="export"),
    path("c/<uuid:conversation_id>/export/markdown/", exports.markdown_file, name="export_markdown"),
    path("c/<uuid:conversation_id>/export/json/", exports.json_file, name="export_json"),
    path("c/<uuid:conversation_id>/print/", exports.print_view, name="print"),
    path("settings/export/", exports.all_chats, name="export_all"),
    path("settings/export/chats.zip", exports.zip_file, name="export_zip"),
    path("settings/import/", imports.imports, name="imports"),
    path("settings/import/<uuid:import_id>/pieces/", imports.piece_create, name="import_piece_create"),
    path("settings/import/<uuid:import_id>/start/", imports.import_start, name="import_start"),
    path("settings/deletion/", organising.deletion, name="deletion"),
]
