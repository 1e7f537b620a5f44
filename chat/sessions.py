"""Django's sessions in the database, looked up by a query that is prepared once: every request begins with it."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from chat.database import execute


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Session | None:
        row = execute(BY_KEY, [self.session_key]).fetchone()
        if row is None:
            self._session_key = None
            return None
        key, data, expire_date = row
        return Session(session_key=key, session_data=data, expire_date=expire_date)


BY_KEY = """
    SELECT session_key, session_data, expire_date FROM django_session
    WHERE session_key = %s AND expire_date > now()
"""
