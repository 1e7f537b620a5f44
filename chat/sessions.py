"""Django's sessions in the database, looked up by a query that is prepared once: every request begins with it."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.utils import timezone

from chat.database import execute
from chat.models import Session, User

USER_AGENT_KEY = "user_agent"


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        session = super().create_model_instance(data)
        assert isinstance(session, Session)
        session.user_id = data.get(SESSION_KEY)
        session.user_agent = data.get(USER_AGENT_KEY, "")
        session.used_at = timezone.now()
        return session

    def _get_session_from_db(self) -> Session | None:
        row = execute(by_key(), [self.session_key]).fetchone()
        if row is None:
            self._session_key = None
            return None
        key, data, expire_date, is_old_news, *user = row
        User.objects.found(user)
        if is_old_news:
            execute(USED, [key])
        return Session(session_key=key, session_data=data, expire_date=expire_date)


# That a session is in use is news every five minutes: open pages look at it every half minute, so that hardly any
# request has to write it down.
@cache
def by_key() -> str:
    """With the person it belongs to, who is asked for next."""
    columns = ", ".join(f'"user".{name}' for name in User.objects.columns)
    return f"""
        SELECT session_key, session_data, expire_date, used_at < now() - interval '5 minutes', {columns}
        FROM chat_session LEFT JOIN chat_user "user" ON "user".id = chat_session.user_id
        WHERE session_key = %s AND expire_date > now()
    """


USED = "UPDATE chat_session SET used_at = now() WHERE session_key = %s"
