"""Finding chats again, and keeping them in order."""

from __future__ import annotations

from django.urls import path

from chat.views import folders, organising, search

urlpatterns = [
    path("search/", search.found, name="search"),
    path("shortcuts/", organising.shortcuts, name="shortcuts"),
    path("archive/", organising.archive, name="archive"),
    path("manage/", organising.manage, name="manage"),
    path("folders/", folders.folders, name="folders"),
    path("folders/<uuid:folder_id>/", folders.folder, name="folder"),
    path("folders/<uuid:folder_id>/deletion/", folders.folder_delete, name="folder_delete"),
    path("c/<uuid:conversation_id>/folder/", folders.move, name="move"),
    path("c/<uuid:conversation_id>/pin/", organising.pin, name="pin"),
    path("c/<uuid:conversation_id>/archival/", organising.archival, name="archival"),
    path("c/<uuid:conversation_id>/reading/", organising.reading, name="reading"),
    path("c/<uuid:conversation_id>/closing/", organising.closing, name="closing"),
]
