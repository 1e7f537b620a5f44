from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from chat.views import chats, conversations, generations, health, language, messages, model, pages, setup

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
    path("generations/<uuid:generation_id>/answer/", generations.answer_create, name="answer_create"),
    path("generations/<uuid:generation_id>/continuation/", generations.continuation_create, name="continuation_create"),
    path("language/", language.language_update, name="language_update"),
    path("model/", model.model, name="model"),
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
