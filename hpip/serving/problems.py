# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a request, as HTTP says it."""

from __future__ import annotations


class RequestError(Exception):
    """Ends a request with a status and a message for its client.

    Attributes:
        status: HTTP's.
        message: what is wrong, what was expected, what to do; free of paths and addresses of ours.
        retry_after_s: when to come again; None says nothing about it.
        log_id: the request's own id, where it was read before the request failed.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.log_id: str | None = None
        super().__init__(message)
