# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpip.errors import InvalidInputError
from hpip.serving.settings import ServingSettings, make_settings


def test_flags_win_over_the_serving_section() -> None:
    settings = make_settings(
        {"visualize": False, "port": 9000, "extra": {"x": 1}}, {"port": 9001, "host": None}
    )
    assert (settings.visualize, settings.port, settings.host) == (False, 9001, "127.0.0.1")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"visualise": True}, "visualise"),
        ({"port": 70_000}, "port"),
        ({"max_queue": 0}, "max_queue"),
        ({"return_urls": True}, "return_urls"),
        ({"token": " "}, "token"),
    ],
)
def test_bad_serving_sections_are_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_settings(section, {})


def test_settings_keep_the_token_to_themselves() -> None:
    settings = ServingSettings(token="secret-word")
    assert "secret-word" not in repr(settings)
    with pytest.raises(InvalidInputError) as caught:
        make_settings({}, {"token": ["secret-word"]})
    assert "secret-word" not in str(caught.value)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
