"""What engines say of a failure, in the reader's language. They say it in English, and so it is stored."""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

_NUMBER = re.compile(r"\d[\d,]*")

# Numbers of a sentence stand in its translation in the same order.
SENTENCES = (
    gettext_noop("The model is being restarted."),
    gettext_noop("The reply took longer than allowed and was ended."),
    gettext_noop("The machine ran out of memory for this reply."),
    gettext_noop("The model failed while making this reply."),
    gettext_noop("Too many replies are waiting already. Try again in a moment."),
    gettext_noop("The model can't answer this message."),
    gettext_noop("The message has {} tokens, the model takes at most {}."),
    gettext_noop("The model stopped without an end."),
    gettext_noop("A rule of this server ended this reply."),
    gettext_noop("This reply does not pass the check of this server, so it is not shown."),
    gettext_noop("This reply could not be checked, so it is not shown."),
    gettext_noop("The worker that wrote this reply stopped unexpectedly. What it had written is kept."),
)


def in_words(sentence: str) -> str:
    """A stored sentence as a person reads it; one that is not known stays as it is."""
    if not sentence:
        return gettext("The model could not write this reply.")
    known = _NUMBER.sub("{}", sentence)
    return gettext(known).format(*_NUMBER.findall(sentence)) if known in SENTENCES else sentence
