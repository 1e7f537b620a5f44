"""Chats out of files. A file comes in pieces, as no request may be large, and is read by a task."""

from __future__ import annotations

from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from chat import access
from chat.models import Import, Refused
from chat.transfer.files import LARGEST_FILE
from chat.views.signed_in import Request, signed_in

MOST_SHOWN = 10


@require_http_methods(["GET", "POST"])
@signed_in
def imports(request: Request) -> HttpResponse:
    """What was imported; begin with another file: its name and size, or, where there is no script, itself."""
    if request.method == "GET":
        return _page(request)
    upload, size = request.FILES.get("file"), request.POST.get("size", "")
    try:
        if isinstance(upload, UploadedFile):
            _take_whole(request, upload)
            return redirect("imports")
        num_bytes = int(size) if size.isascii() and size.isdigit() and len(size) < 18 else 0
        begun = Import.begin(request.user, request.POST.get("name", ""), num_bytes)
    except Refused as refused:
        return _page(request, str(refused))
    return HttpResponse(status=201, headers={"Location": reverse("imports") + f"{begun.id}/"})


@require_POST
@signed_in
def piece_create(request: Request, import_id: UUID) -> HttpResponse:
    """The bytes of one piece, nothing else; `number` in the address says which."""
    begun, number = access.chat_import(request.user, import_id), request.GET.get("number", "")
    try:
        begun.add(int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0, request.body)
    except Refused as refused:
        return _page(request, str(refused))
    return HttpResponse(status=204)


@require_POST
@signed_in
def import_start(request: Request, import_id: UUID) -> HttpResponse:
    try:
        access.chat_import(request.user, import_id).start()
    except Refused as refused:
        return _page(request, str(refused))
    return redirect("imports")


def _take_whole(request: Request, upload: UploadedFile[bytes]) -> None:
    with transaction.atomic():
        begun = Import.begin(request.user, upload.name or "", upload.size or 0)
        for number, content in enumerate(upload.chunks(Import.LARGEST_PIECE)):
            begun.add(number, content)
        begun.start()


def _page(request: Request, refusal: str = "") -> HttpResponse:
    rows = list(access.chat_imports(request.user)[:MOST_SHOWN])
    context = {
        "imports": rows,
        "is_open": not all(row.is_over for row in rows),
        "most_mb": LARGEST_FILE // 1024**2,
        "piece": Import.LARGEST_PIECE,
        "refusal": refusal,
    }
    return render(request, "chat/imports.html", context, status=422 if refusal else 200)
