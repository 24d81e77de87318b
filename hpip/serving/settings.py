# SPDX-License-Identifier: Apache-2.0
"""Settings of the server, from flags and from the section `Serving` of a pipeline file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from hpip.errors import InvalidInputError

# PaddleX's keys that hpip ignores: `extra` configures where PaddleX stores the files it returns.
_PADDLEX_KEYS = frozenset({"extra", "return_urls"})
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+")


class ServingSettings(BaseModel):
    """Address, limits and defaults of a server.

    Most fields are also flags of `hpip serve`; docs/serving.md describes all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535, description="0 takes any free port")
    visualize: bool = Field(True, description="annotate images unless the request says otherwise")

    workers: int | None = Field(None, ge=1, le=64, description="None: one per device")
    max_batch_size: int | None = Field(None, ge=1, le=256, description="None: the pipeline's")
    batch_timeout_ms: float = Field(0.0, ge=0, le=10_000)
    max_queue: int = Field(64, ge=1, le=100_000, description="images that wait for a worker")
    request_timeout_s: float = Field(120.0, gt=0)
    body_timeout_s: float = Field(30.0, gt=0)
    answer_timeout_s: float = Field(60.0, gt=0, description="for a client to receive its response")
    shutdown_timeout_s: float = Field(120.0, gt=0)

    max_body_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    max_buffered_bytes: int = Field(
        512 * 1024 * 1024, ge=1024, description="request and response bodies of all requests"
    )
    max_pixels: int = Field(64_000_000, ge=1, description="width x height of an image")
    max_images: int = Field(16, ge=1, le=1024, description="images per request")
    max_detections: int = Field(1000, ge=1, description="instances per image")
    max_connections: int = Field(1024, ge=1)

    allowed_hosts: frozenset[str] = Field(
        frozenset(),
        description="allowed values of the Host header; on loopback, its names are always allowed",
    )
    cors_origins: frozenset[str] = Field(
        frozenset(), description="origins of web pages that may send requests, besides its own"
    )

    allow_url_input: bool = False
    url_hosts: frozenset[str] | None = Field(None, description="None: any public host")
    private_url_hosts: frozenset[str] = Field(
        frozenset(), description="hosts whose addresses may be private"
    )
    url_timeout_s: float = Field(10.0, gt=0)
    token: SecretStr | None = Field(None, description="bearer token that requests must carry")

    @field_validator("url_hosts", "private_url_hosts", "allowed_hosts")
    @classmethod
    def _lower(cls, hosts: frozenset[str] | None) -> frozenset[str] | None:
        return None if hosts is None else frozenset(host.lower() for host in hosts)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: frozenset[str]) -> frozenset[str]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"expected *, null or https://HOST[:PORT], received {origin!r}")
        return origins

    @field_validator("token")
    @classmethod
    def _not_empty(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().strip():
            raise ValueError("expected a token, received an empty one")
        return token


def make_settings(section: Mapping[str, Any], flags: Mapping[str, Any]) -> ServingSettings:
    """Combine the section `Serving` of a pipeline file with flags; flags take precedence.

    Raises:
        InvalidInputError: an unknown key, a value out of range, or `return_urls`.
    """
    if section.get("return_urls"):
        raise InvalidInputError(
            "Serving.return_urls: not supported, because hpip returns images in the response and"
            " stores none; remove the key"
        )
    chosen = {key: value for key, value in section.items() if key not in _PADDLEX_KEYS}
    chosen.update({key: value for key, value in flags.items() if value is not None})
    try:
        return ServingSettings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        # Not the received value: it may be the token.
        raise InvalidInputError(f"serving: {key}: {first['msg']}") from None
