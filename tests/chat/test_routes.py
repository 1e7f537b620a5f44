"""Who may come in where: a table of every route of the server and every actor. A route that is not in it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from chat.models import Conversation, User
from tests.chat.people import auditor, signed_in
from tests.chat.sharing import finish, share
from tests.conftest import World


@dataclass(frozen=True)
class Rule:
    """What each actor gets: `in`, `out` (sent to sign-in), `none` (404 or 403), or `inside`, all but out.

    A deactivated person is a stranger, whatever session they have. A member of the group that the owner shared with is
    one of the others, and who holds a link that anyone can open a stranger, unless the rule says more.
    """

    anonymous: str
    owner: str
    others: str
    auditor: str
    admin: str
    member: str = ""
    holder: str = ""

    def expected(self, actor: str) -> str:
        known = {"deactivated": self.anonymous, "team_mate": self.others, "outsider": self.others}
        known |= {"member": self.member or self.others, "holder": self.holder or self.anonymous}
        return known.get(actor) or str(getattr(self, actor))


PUBLIC = Rule("in", "in", "in", "in", "in")
SIGNED_IN = Rule("out", "in", "in", "in", "in")
OWN = Rule("out", "in", "none", "none", "none")
CLOSED = Rule("none", "none", "none", "none", "none")
# What is of the owner, and is not there now.
NOT_THERE = Rule("out", "none", "none", "none", "none")
ENTRANCE = Rule("out", "none", "none", "in", "in")
NOT_THERE_STAFF = Rule("out", "out", "out", "none", "none")
REVIEW = Rule("out", "out", "out", "in", "in")
# Pages of Django's admin: some are about one row, which is not there, and say so in their own way.
STAFF = Rule("out", "out", "out", "inside", "inside")
ADMIN = Rule("out", "out", "out", "none", "inside")

# Whose message is a reply.
OF_REPLIES = {"feedback_update", "reasons_update", "preference_create", "reply_details", "repetition_create"}

# Those that are tried by GET alone: a POST signs out, or wants what is not there.
LOOKED_AT = {"account_logout", "logout", "account_confirm_email"}

# By name. A new route gets a line here; a whole part of somebody else's code a prefix below.
RULES: dict[str, Rule] = {
    "new_chat": SIGNED_IN,
    "conversation_create": SIGNED_IN,
    "conversation_detail": OWN,
    "c/<uuid:conversation_id>/": PUBLIC,  # leads to conversation_detail, and looks nothing up
    "message_create": OWN,
    "new_prompt_measure": SIGNED_IN,
    "prompt_measure": OWN,
    "reply_create": OWN,
    "conversation_rename": OWN,
    "conversation_delete": OWN,
    "chats": SIGNED_IN,
    "cancellation_create": OWN,
    "continuation_create": OWN,
    "invitation_create": CLOSED,  # closed unless a domain may sign up
    "invitation": CLOSED,  # for who has the token
    "language_update": SIGNED_IN,
    "model": SIGNED_IN,
    "own_usage": SIGNED_IN,
    "quota_notice": SIGNED_IN,
    "setup": CLOSED,  # for who has the token
    "version_create": OWN,
    "branch_update": OWN,
    "branch_create": OWN,
    "message_delete": OWN,
    "earlier": OWN,
    "move": OWN,
    "pin": OWN,
    "archival": OWN,
    "reading": OWN,
    "closing": OWN,
    "answer_create": OWN,
    "link_create": OWN,
    "feedback_update": OWN,
    "preference_create": OWN,
    "reply_details": OWN,
    "repetition_create": OWN,
    "search": SIGNED_IN,
    "shortcuts": SIGNED_IN,
    "archive": SIGNED_IN,
    "manage": SIGNED_IN,
    "folders": SIGNED_IN,
    "presets": SIGNED_IN,
    "preset_create": SIGNED_IN,
    "preset_update": NOT_THERE,
    "preset_delete": NOT_THERE,
    "prompts": SIGNED_IN,
    "prompt_create": SIGNED_IN,
    "prompt_update": NOT_THERE,
    "prompt_delete": NOT_THERE,
    "prompt_choices": SIGNED_IN,
    "prompt_filling": NOT_THERE,
    "settings": SIGNED_IN,
    "sessions_end": SIGNED_IN,
    "session_end": SIGNED_IN,
    "oidc_sign_in": CLOSED,  # closed unless the operator names a provider
    "openid_connect_callback": CLOSED,
    "mfa_authenticate": PUBLIC,  # for who has given their password
    "mfa_login_webauthn": PUBLIC,
    "mfa_view_recovery_codes": NOT_THERE,
    "mfa_deactivate_totp": NOT_THERE,
    "share": NOT_THERE,  # without saying what
    "links": SIGNED_IN,
    "message_restore": NOT_THERE,
    "reasons_update": NOT_THERE,
    "folder": NOT_THERE,
    "folder_delete": NOT_THERE,
    "link_detail": NOT_THERE,
    "revision_create": NOT_THERE,
    "revocation_create": NOT_THERE,
    "s/<str:token>": PUBLIC,  # leads to shared, and looks nothing up
    "shared": Rule("none", "in", "none", "none", "none", member="in", holder="in"),
    "copy_create": CLOSED,  # wants to know which revision
    "nothing_shared": PUBLIC,  # its shortest address is that of the one above
    "banner_dismiss": NOT_THERE,
    "glass_break_acknowledge": NOT_THERE,
    "glass_break": NOT_THERE_STAFF,
    "glass_break_end": NOT_THERE_STAFF,
    "glass_break_chat": NOT_THERE_STAFF,
    "here": NOT_THERE,  # without a page that is open
    "export": OWN,
    "export_markdown": OWN,
    "export_json": OWN,
    "print": OWN,
    "export_all": SIGNED_IN,
    "export_zip": SIGNED_IN,
    "imports": SIGNED_IN,
    "import_piece_create": NOT_THERE,
    "import_start": NOT_THERE,
    "deletion": SIGNED_IN,
    "offline": PUBLIC,
    "worker": PUBLIC,
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "usage_review": REVIEW,
    "usage_review_csv": REVIEW,
    "feedback_review_csv": REVIEW,
    "admin/usage/.csv": PUBLIC,  # leads to usage_review_csv, and looks nothing up
    "ledger": REVIEW,
    "workers": REVIEW,
    "drain_create": NOT_THERE_STAFF,
    "drain_delete": NOT_THERE_STAFF,
}

# By the beginning of the route, the longest first.
PREFIXES: dict[str, Rule] = {
    "accounts/": PUBLIC,
    "accounts/factor/": SIGNED_IN,
    "accounts/password/change/": SIGNED_IN,
    "accounts/password/set/": SIGNED_IN,
    "accounts/reauthenticate/": SIGNED_IN,
    "accounts/email/": SIGNED_IN,
    "accounts/logout/": PUBLIC,
    "admin/": STAFF,
    "admin/login/": ENTRANCE,
    "admin/logout/": PUBLIC,
}

# What adds, deletes or sets passwords in the admin.
ADMIN_ONLY = re.compile(r"admin/\w+/\w+/(add|<path:object_id>/delete)/$|admin/.*/password/$")


@dataclass(frozen=True)
class Route:
    path: str
    name: str

    @property
    def rule(self) -> Rule | None:
        for key in (self.name, self.path):
            if key in RULES:
                return RULES[key]
        if ADMIN_ONLY.match(self.path):
            return ADMIN
        fitting = [prefix for prefix in PREFIXES if self.path.startswith(prefix)]
        return PREFIXES[max(fitting, key=len)] if fitting else None

    def address(self, known: dict[str, object]) -> str:
        """The path with something in the place of each argument: what belongs to the owner where it is known."""
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", self.path)
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(known.get(found[1], "x")), path)


def routes() -> list[Route]:
    return [Route(path, name) for path, name in _walk(get_resolver().url_patterns, "")]


def _walk(patterns: Any, above: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        path = above + _plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.name or ""


def _plain(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$").removesuffix("\\Z")


def test_every_route_is_in_the_table() -> None:
    assert [route.path for route in routes() if route.rule is None] == []
    known = {route.name for route in routes()} | {route.path for route in routes()}
    assert set(RULES) <= known, "a rule for a route that is gone"


def test_every_actor_comes_in_exactly_where_the_table_says(world: World, settings: Settings) -> None:
    settings.HAS_PUBLIC_LINKS = True
    turn = finish(Conversation.start(world.owner, "Hello", "c1"))
    known: dict[str, object] = {
        "conversation_id": turn.message.conversation_id,
        "message_id": turn.message.id,
        "generation_id": turn.generation.id,
        "object_id": world.owner.id,
        "id": world.owner.id,
        "folder_id": uuid4(),
        "item_id": uuid4(),
        "link_id": uuid4(),
        "worker_id": uuid4(),
        "pk": 1,
        "banner_id": uuid4(),
        "glass_break_id": uuid4(),
        "import_id": uuid4(),
    }
    member = User.objects.create(email="mia@example.org", name="Mia", password=world.owner.password)
    group = Group.objects.create(name="Research")
    group.user_set.add(world.owner, member)
    owner = signed_in(world.owner)
    for_group = share(owner, turn, audience="named", groups=[group.id]).split("/")[2]
    for_anyone = share(owner, turn, audience="public").split("/")[2]
    clients = {actor: signed_in(getattr(world, actor)) for actor in ("owner", "team_mate", "outsider", "admin")}
    gone = User.objects.create(email="gone@example.org", name="Gone", is_staff=True, is_superuser=True, password="!")
    clients |= {
        "anonymous": Client(),
        "holder": Client(),
        "member": signed_in(member),
        "auditor": signed_in(auditor(world.owner.password)),
        "deactivated": signed_in(gone),
    }
    gone.deactivate()
    wrong = []
    for route in routes():
        message = turn.reply if route.name in OF_REPLIES else turn.message
        for method in ("get",) if route.name in LOOKED_AT else ("get", "post"):
            for actor, client in clients.items():
                assert route.rule
                token = for_anyone if actor == "holder" else for_group
                address = route.address({**known, "message_id": message.id, "token": token})
                expected, found = route.rule.expected(actor), _outcome(client, method, address)
                is_right = found in {expected, "closed"} or (expected == "inside" and found != "out")
                if not is_right:
                    wrong.append((method, address, actor, expected, found))
    assert wrong == [], "\n".join(map(str, wrong))


def _answer(client: Client, method: str, address: str) -> Any:
    """What is answered; what the request changed is taken back."""
    with transaction.atomic():
        answer = getattr(client, method)(address)
        transaction.set_rollback(True)
    return answer


def _outcome(client: Client, method: str, address: str) -> str:
    answer = _answer(client, method, address)
    if answer.status_code == 405:
        return "closed"  # to everybody who asks in this way
    if answer.status_code == 302 and "/login/?next=" in answer["Location"]:
        return "out"
    return "none" if answer.status_code in {403, 404} else "in"
