from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from chat.views import (
    chats,
    conversations,
    generations,
    health,
    language,
    messages,
    model,
    pages,
    setup,
    share_links,
    shared,
)

urlpatterns = [
    path("", pages.new_chat, name="new_chat"),
    path("c/", messages.conversation_create, name="conversation_create"),
    path("c/<uuid:conversation_id>", pages.conversation_detail, name="conversation_detail"),
    path("c/<uuid:conversation_id>/", RedirectView.as_view(pattern_name="conversation_detail")),
    path("c/<uuid:conversation_id>/messages/", messages.message_create, name="message_create"),
    path("c/<uuid:conversation_id>/messages/<uuid:message_id>/replies/", messages.reply_create, name="reply_create"),
    path("c/<uuid:conversation_id>/title/", conversations.conversation_rename, name="conversation_rename"),
    path("c/<uuid:conversation_id>/deletion/", conversations.conversation_delete, name="conversation_delete"),
    path("chats/", chats.chats, name="chats"),
    path("generations/<uuid:generation_id>/cancellation/", generations.cancellation_create, name="cancellation_create"),
    path("generations/<uuid:generation_id>/continuation/", generations.continuation_create, name="continuation_create"),
    path("language/", language.language_update, name="language_update"),
    path("model/", model.model, name="model"),
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("share/", share_links.share, name="share"),
    path("c/<uuid:conversation_id>/links/", share_links.link_create, name="link_create"),
    path("settings/links/", share_links.links, name="links"),
    path("settings/links/<uuid:link_id>/", share_links.link_detail, name="link_detail"),
    path("settings/links/<uuid:link_id>/revisions/", share_links.revision_create, name="revision_create"),
    path("settings/links/<uuid:link_id>/revocation/", share_links.revocation_create, name="revocation_create"),
    path("s/<str:token>", RedirectView.as_view(pattern_name="shared")),
    path("s/<str:token>/", shared.shared, name="shared"),
    path("s/<str:token>/copies/", shared.copy_create, name="copy_create"),
    path("s/<path:rest>", shared.nothing, name="nothing_shared"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
