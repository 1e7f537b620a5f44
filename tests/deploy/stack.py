"""The operator's files as one thing, and all that is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from qwenweb import serve
from tests.deploy import commands
from tests.deploy.code import ROOT, takes_file, variables

# Read by libraries: the C library, huggingface_hub.
OF_LIBRARIES = {"MALLOC_ARENA_MAX", "HF_TOKEN"}
Service = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """The text of each file, so that a test can change one and see whether that is noticed."""

    compose: str
    dockerfile: str
    caddyfile: str
    example: str
    ignored: str

    @classmethod
    def read(cls) -> Stack:
        names = ("compose.yaml", "Dockerfile", "deploy/Caddyfile", ".env.example", ".dockerignore")
        return cls(*((ROOT / name).read_text() for name in names))

    def complaints(self) -> list[str]:
        """Return what does not fit the code or the other files; empty when all does."""
        checks = (
            self._in_commands,
            self._in_order,
            self._in_probes,
            self._in_proxy,
            self._in_images,
            self._in_build,
            self._in_volumes,
            self._in_secrets,
            self._in_addresses,
            self._in_variables,
        )
        return [complaint for check in checks for complaint in check()]

    # What the files say

    @cached_property
    def _file(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.compose)
        return content

    @cached_property
    def services(self) -> dict[str, Service]:
        services: dict[str, Service] = self._file["services"]
        return services

    @cached_property
    def own(self) -> dict[str, Service]:
        """The services that run qwenweb's own images."""
        return {name: service for name, service in self.services.items() if "build" in service}

    @cached_property
    def stages(self) -> dict[str, str]:
        """The stages of the Dockerfile: name → lines, those of the stages it is made from included."""
        stages: dict[str, str] = {}
        for part in re.split(r"(?m)^(?=FROM )", self.dockerfile)[1:]:
            origin, name = re.findall(r"\AFROM (\S+) AS (\S+)$", part, re.M)[0]
            stages[name] = stages.get(origin, "") + part
        return stages

    def left_out(self, stage: str) -> list[str]:
        """The modules of locked packages that the image of this stage does not have."""
        lists = re.findall(r"grep -vE '\^\(([^)]*)\)==", self.stages[f"{stage}-packages"])
        return [name.replace("-", "_") for name in lists[-1].split("|")]

    @cached_property
    def examples(self) -> dict[str, str]:
        return dict(re.findall(r"(?m)^#?([A-Z][A-Z0-9_]*)=(.*)$", self.example))

    @property
    def port(self) -> str:
        return commands.option(self.services["web"]["command"], "--port")

    # What can be wrong

    def _in_commands(self) -> Iterator[str]:
        for name, service in self.own.items():
            for complaint in commands.complaints(service["command"]):
                yield f"{name}: {complaint}"
        for stage in {service["build"]["target"] for service in self.own.values()}:
            for line in re.findall(r"(?m)^CMD (\[.*\])$", self.stages.get(stage, "")):
                for complaint in commands.complaints(json.loads(line)):
                    yield f"Dockerfile, {stage}: {complaint}"
        served = {commands.option(service["command"], "--queues") for service in self.own.values()}
        for queue in commands.queues() - served:
            yield f"nobody works on the queue {queue}"
        for name, service in self.own.items():
            has_device = "QWENWEB_DEVICE" in service.get("environment", {})
            if has_device != (commands.option(service["command"], "--queues") == "gpu"):
                yield f"{name}: a device belongs to the queue gpu, and to no other"
        if sum("QWENWEB_BEAT" in service.get("environment", {}) for service in self.own.values()) != 1:
            yield "exactly one service keeps the clock (QWENWEB_BEAT)"

    def _in_order(self) -> Iterator[str]:
        for name, service in self.services.items():
            for needed, how in service.get("depends_on", {}).items():
                other = self.services.get(needed)
                if other is None:
                    yield f"{name}: there is no service {needed} to wait for"
                elif how["condition"] == "service_healthy" and "healthcheck" not in other:
                    yield f"{name}: waits for the health of {needed}, which has no probe"
                elif how["condition"] == "service_completed_successfully" and "on-failure" not in other["restart"]:
                    yield f"{name}: waits for the end of {needed}, which is started again for ever"
        for name, service in self.own.items():
            uses_database = "DATABASE_URL_FILE" in service.get("environment", {})
            if uses_database and name != "prepare" and "prepare" not in service["depends_on"]:
                yield f"{name}: may start before the database is prepared"

    def _in_probes(self) -> Iterator[str]:
        for name in ("postgres", "valkey", "web", "proxy"):
            if "healthcheck" not in self.services[name]:
                yield f"{name}: there is no probe"
        probe = " ".join(self.services["web"].get("healthcheck", {}).get("test", []))
        for port, path in re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/]*)", probe):
            if port != self.port:
                yield f"web: the probe asks port {port}, the server listens on {self.port}"
            if not commands.is_page(path):
                yield f"web: the probe asks for {path}, which is no page"
        if "/readyz" not in probe:
            yield "web: the probe does not ask whether the process has what it needs"
        for name, service in self.own.items():
            if "restart" not in service:
                yield f"{name}: is not started again when it ends"

    def _in_proxy(self) -> Iterator[str]:
        from django.conf import settings

        [(host, port)] = re.findall(r"(?m)^\s*reverse_proxy (\w+):(\d+)", self.caddyfile)
        if host not in self.own or port != self.port:
            yield f"proxy: sends to {host}:{port}, the server is web:{self.port}"
        elif not set(self.services[host]["networks"]) & set(self.services["proxy"]["networks"]):
            yield f"proxy: can't reach {host}"
        if f'"{port}"' not in json.dumps(self.services["web"].get("expose", [])):
            yield f"web: port {port} is not exposed"
        limits = [int(number) * 1_000_000 for number in re.findall(r"max_size (\d+)MB", self.caddyfile)]
        if not limits or not settings.DATA_UPLOAD_MAX_MEMORY_SIZE <= limits[0] <= 10_000_000:
            yield "proxy: the limit for bodies is missing, too high, or lower than that of the pages"
        ping_s = serve.PING_INTERVAL_S
        for number in re.findall(r"stream_timeout (\d+)s", self.caddyfile):
            if int(number) <= 2 * ping_s:
                yield f"proxy: ends websockets after {number} s, they are pinged each {ping_s} s"
        names = set(re.findall(r"\{\$(\w+)", self.caddyfile))
        for name in names - set(self.services["proxy"]["environment"]):
            yield f"proxy: {name} is not given to it"

    def _in_images(self) -> Iterator[str]:
        images = [service["image"] for service in self.services.values()]
        bases = [name for name in re.findall(r"(?m)^FROM (\S+)", self.dockerfile) if name not in self.stages]
        for image in [*images, *bases]:
            if not re.search(r":[\w.-]*\d[\w.-]*$", image):
                yield f"the image {image} has no version"
        for name, service in self.own.items():
            stage = self.stages.get(service["build"]["target"])
            if stage is None:
                yield f"{name}: the Dockerfile has no stage {service['build']['target']}"
            elif re.findall(r"(?m)^USER (\S+)", stage)[-1:] in ([], ["root"], ["0"]):
                yield f"{name}: runs as root"
            for argument in service["build"].get("args", {}):
                if f"ARG {argument}" not in self.dockerfile:
                    yield f"{name}: the Dockerfile takes no argument {argument}"
        for name, service in self.services.items():
            if service.get("privileged") or str(service.get("user", "")).split(":")[0] in {"root", "0"}:
                yield f"{name}: runs as root"

    def _in_build(self) -> Iterator[str]:
        carried = set(re.findall(r"(?m)^!(\S+)$", self.ignored))
        for sources in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", self.dockerfile):
            for source in sources.split():
                if not (ROOT / source).exists():
                    yield f"Dockerfile: there is no {source} to copy"
                elif source.split("/")[0] not in carried:
                    yield f"Dockerfile: {source} is kept out by .dockerignore"
        for stage in re.findall(r"COPY --from=(\S+)", self.dockerfile):
            if stage not in self.stages:
                yield f"Dockerfile: there is no stage {stage} to copy from"
        locked = set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text()))
        for names in re.findall(r"grep -vE '\^\(([^)]*)\)==", self.dockerfile):
            for name in set(names.split("|")) - locked:
                yield f"Dockerfile: {name} is left out, but not in requirements.lock"
        if f"EXPOSE {self.port}\n" not in self.dockerfile:
            yield f"Dockerfile: port {self.port} is not exposed"

    def _in_volumes(self) -> Iterator[str]:
        mounts = [
            (name, *mount.split(":")) for name, service in self.services.items() for mount in service.get("volumes", [])
        ]
        declared = set(self._file["volumes"])
        for name, source, *_ in mounts:
            if source.startswith("."):
                if not (ROOT / source).exists():
                    yield f"{name}: there is no file {source}"
            elif source not in declared:
                yield f"{name}: the volume {source} is not declared"
        for unused in declared - {source for _, source, *_ in mounts}:
            yield f"nobody uses the volume {unused}"
        writers = [name for name, source, _, *mode in mounts if source == "models" and mode != ["ro"]]
        if writers != ["model"]:
            yield f"models are written by {writers}, not by model alone"
        image = self.services["postgres"]["image"]
        if image.startswith("postgres:18") and ("postgres", "postgres", "/var/lib/postgresql") not in mounts:
            yield f"postgres: {image} keeps its data below /var/lib/postgresql, where no volume is"
        data = self.services["web"]["environment"]["QWENWEB_DATA_DIR"]
        for name, source, target, *_ in mounts:
            if source in {"models", "mail"} and target != f"{data}/{source}":
                yield f"{name}: {source} is expected in {data}/{source}"

    def _in_secrets(self) -> Iterator[str]:
        declared = self._file["secrets"]
        used = {secret for service in self.services.values() for secret in service.get("secrets", [])}
        for secret in used ^ set(declared):
            yield f"the secret {secret} is not both declared and used"
        for name, service in self.services.items():
            for variable, value in service.get("environment", {}).items():
                if variable.endswith("_FILE") and value.removeprefix("/run/secrets/") not in service.get("secrets", []):
                    yield f"{name}: {variable} names {value}, which is no secret of it"
                if re.search("PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
                    yield f"{name}: {variable} stands in the environment; secrets come by file"

    def _in_addresses(self) -> Iterator[str]:
        for name, service in self.own.items():
            networks = set(service["networks"])
            address = service.get("environment", {}).get("REDIS_URL")
            if address:
                [(host, port)] = re.findall(r"redis://(\w+):(\d+)/0$", address) or [("", "")]
                if host not in self.services or port != "6379":
                    yield f"{name}: there is no Valkey at {address}"
                elif not networks & set(self.services[host]["networks"]):
                    yield f"{name}: can't reach {host}"
            if "database_url" in service["secrets"] and not networks & set(self.services["postgres"]["networks"]):
                yield f"{name}: can't reach postgres"
        for name in ("postgres", "valkey"):
            networks = set(self.services[name]["networks"])
            if "ports" in self.services[name] or not all(
                self._file["networks"][each].get("internal") for each in networks
            ):
                yield f"{name}: can be reached from outside"
        if "noeviction" not in self.services["valkey"]["command"]:
            yield "valkey: may throw away what is still needed"

    def _in_variables(self) -> Iterator[str]:
        read = variables()
        interpolated = set(re.findall(r"\$\{(\w+)", self.compose))
        for name, default in read.items():
            if name not in self.examples:
                yield f".env.example does not name {name}"
            elif default is not None and self.examples[name] != default:
                yield f".env.example gives {self.examples[name]!r} as the default of {name}, the code {default!r}"
        for name in interpolated - set(self.examples):
            yield f".env.example does not name {name}, which compose.yaml asks for"
        given = {name for service in self.own.values() for name in service.get("environment", {})}
        for name in (set(self.examples) | given) - OF_LIBRARIES - interpolated - set(read):
            if not (name.endswith("_FILE") and takes_file(name.removesuffix("_FILE"))):
                yield f"nothing reads {name}"
