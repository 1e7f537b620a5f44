from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from chat.views import (
    branches,
    chats,
    conversations,
    deletions,
    details,
    feedback,
    generations,
    health,
    language,
    messages,
    model,
    pages,
    setup,
    versions,
)

MESSAGE = "c/<uuid:conversation_id>/messages/<uuid:message_id>"

urlpatterns = [
    path("", pages.new_chat, name="new_chat"),
    path("c/", messages.conversation_create, name="conversation_create"),
    path("c/<uuid:conversation_id>", pages.conversation_detail, name="conversation_detail"),
    path("c/<uuid:conversation_id>/", RedirectView.as_view(pattern_name="conversation_detail")),
    path("c/<uuid:conversation_id>/messages/", messages.message_create, name="message_create"),
    path(f"{MESSAGE}/replies/", messages.reply_create, name="reply_create"),
    path(f"{MESSAGE}/versions/", versions.version_create, name="version_create"),
    path(f"{MESSAGE}/branch/", branches.branch_update, name="branch_update"),
    path(f"{MESSAGE}/chat/", branches.branch_create, name="branch_create"),
    path(f"{MESSAGE}/deletion/", deletions.message_delete, name="message_delete"),
    path(f"{MESSAGE}/restoration/", deletions.message_restore, name="message_restore"),
    path(f"{MESSAGE}/feedback/", feedback.feedback_update, name="feedback_update"),
    path(f"{MESSAGE}/feedback/reasons/", feedback.reasons_update, name="reasons_update"),
    path(f"{MESSAGE}/details/", details.reply_details, name="reply_details"),
    path(f"{MESSAGE}/repetition/", details.repetition_create, name="repetition_create"),
    path("c/<uuid:conversation_id>/title/", conversations.conversation_rename, name="conversation_rename"),
    path("c/<uuid:conversation_id>/deletion/", conversations.conversation_delete, name="conversation_delete"),
    path("chats/", chats.chats, name="chats"),
    path("generations/<uuid:generation_id>/cancellation/", generations.cancellation_create, name="cancellation_create"),
    path("generations/<uuid:generation_id>/answer/", generations.answer_create, name="answer_create"),
    path("generations/<uuid:generation_id>/continuation/", generations.continuation_create, name="continuation_create"),
    path("language/", language.language_update, name="language_update"),
    path("model/", model.model, name="model"),
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
