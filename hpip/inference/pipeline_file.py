# SPDX-License-Identifier: Apache-2.0
"""Reads PaddleX's pipeline files, in the formats of 3.0-beta and of 3.0 to 3.7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from hpip.common.yaml_text import parse_yaml, read_yaml
from hpip.errors import InvalidInputError, shorten
from hpip.model.official import is_model_path

PIPELINES = ("instance_segmentation",)


@dataclass(frozen=True)
class PipelineConfig:
    """Content of a pipeline file; None for values that the file does not set."""

    model_name: str | None = None
    model_dir: str | None = None
    batch_size: int = 1
    threshold: float | None = None
    device: str | None = None
    use_hpip: bool | None = None
    hpi_config: dict[str, Any] | None = None
    serving: dict[str, Any] = field(default_factory=dict)


def pipeline_file_text(name: str) -> str:
    """Return the text of a pipeline file that comes with hpip.

    Raises:
        InvalidInputError: no pipeline has that name.
    """
    if name not in PIPELINES:
        raise InvalidInputError(
            f"pipeline: expected {' or '.join(PIPELINES)}, or the path of a .yaml file; "
            f"received {name!r}"
        )
    folder = resources.files("hpip") / "configs" / "pipelines"
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")


def load_pipeline_config(pipeline: str | Path | Mapping[str, Any]) -> PipelineConfig:
    """Read a pipeline by name, from a YAML file, or from a mapping of the same structure.

    Args:
        pipeline: "instance_segmentation"; or a file or mapping of PaddleX 3.0 to 3.7
            (`SubModules.InstanceSegmentation`) or of 3.0-beta (`Pipeline.model`).

    Raises:
        InvalidInputError: the name is unknown, the file is missing or not valid YAML, or a value
            has the wrong type.
    """
    if isinstance(pipeline, Mapping):
        return _parse(dict(pipeline), "config")
    path = Path(pipeline)
    if path.suffix.lower() in (".yaml", ".yml"):
        where = str(path)
        content = _read_file(path)
    else:
        where = str(pipeline)
        content = parse_yaml(pipeline_file_text(where))
    if not isinstance(content, dict):
        raise InvalidInputError(
            f"pipeline: expected a mapping in {where}; received {type(content).__name__}"
        )
    return _parse(content, where)


def _read_file(path: Path) -> Any:
    try:
        return read_yaml(path)
    except InvalidInputError as error:
        raise InvalidInputError(f"pipeline: {path} {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"pipeline: can't read {path}: {error}") from error


def _parse(content: dict[str, Any], where: str) -> PipelineConfig:
    name = content.get("pipeline_name") or _section(content, "Global", where).get("pipeline_name")
    if name is not None and name not in PIPELINES:
        raise InvalidInputError(
            f"pipeline: {where} is a {shorten(name)} pipeline; expected {' or '.join(PIPELINES)}"
        )
    if "SubModules" in content:
        return _parse_submodules(content, where)
    if "Pipeline" in content:
        return _parse_beta(content, where)
    raise InvalidInputError(
        f"pipeline: expected SubModules.InstanceSegmentation or Pipeline in {where}; "
        f"received keys {shorten(list(content))}"
    )


def _parse_submodules(content: dict[str, Any], where: str) -> PipelineConfig:
    module = _section(_section(content, "SubModules", where), "InstanceSegmentation", where)
    if not module:
        raise InvalidInputError(f"pipeline: SubModules.InstanceSegmentation is missing in {where}")
    # Settings of the module override those of the pipeline, as in PaddleX 3.7.
    inherited = {**content, **module}
    return PipelineConfig(
        model_name=_get(module, "model_name", str, where),
        model_dir=_get(module, "model_dir", str, where),
        batch_size=_get(module, "batch_size", int, where) or 1,
        threshold=_get(module, "threshold", (int, float), where),
        device=_get(inherited, "device", str, where),
        use_hpip=_get(inherited, "use_hpip", bool, where),
        hpi_config=_get(inherited, "hpi_config", dict, where),
        serving=_section(content, "Serving", where),
    )


def _parse_beta(content: dict[str, Any], where: str) -> PipelineConfig:
    section = _section(content, "Pipeline", where)
    model = _get(section, "model", str, where)
    if model is None:
        raise InvalidInputError(f"pipeline: Pipeline.model is missing in {where}")
    is_path = is_model_path(model)
    return PipelineConfig(
        model_name=None if is_path else model,
        model_dir=model if is_path else None,
        batch_size=_get(section, "batch_size", int, where) or 1,
        threshold=_get(section, "threshold", (int, float), where),
        device=_get(section, "device", str, where),
        use_hpip=_get(section, "use_hpip", bool, where),
        hpi_config=_get(section, "hpi_config", dict, where),
        serving=_section(content, "Serving", where),
    )


def _section(content: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError(
            f"pipeline: expected a mapping under {key} in {where}; received {shorten(value)}"
        )
    return value


def _get(section: Mapping[str, Any], key: str, kind: Any, where: str) -> Any:
    value = section.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = "a number" if isinstance(kind, tuple) else kind.__name__
        raise InvalidInputError(
            f"pipeline: expected {names} for {key} in {where}; received {shorten(value)}"
        )
    return value
