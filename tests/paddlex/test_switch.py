# SPDX-License-Identifier: Apache-2.0
"""Enabling, disabling, and the PaddleX installations in which hpip has to hold back."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hpip
from hpip.errors import BackendUnavailableError
from hpip.integrations import paddlex_always
from hpip.integrations.paddlex_switch import is_paddlex_enabled
from tests.paddlex.conftest import DEMO, child_environment


def make_demo(paddlex: ModuleType, **options: Any) -> Any:
    return paddlex.create_model("hpip-demo", model_dir=str(DEMO), device="cpu", **options)


def runs_on_hpip(model: Any) -> bool:
    return type(model._predictor).__module__.startswith("hpip.")


def seams(paddlex: ModuleType, has_engines: bool) -> list[Any]:
    """Everything of PaddleX that enabling changes, in a form that can be compared."""
    models = paddlex.inference.models
    if not has_engines:
        base = models.BasePredictor
        return [dict(base.all()), "get" in vars(base)]
    return [
        dict(models.InferenceEngine.all()),
        {name: dict(engines) for name, engines in _registry().items()},
        models._resolve_effective_engine,
        models._select_engine_config_source,
    ]


def _registry() -> dict[str, Any]:
    from paddlex.inference.models.bindings import default_registry

    return default_registry._registry


def run_python(code: str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def official_demo(named_copy: Callable[[Path, str], Path]) -> Path:
    """The demo model under the name of its architecture."""
    return named_copy(DEMO, "PP-YOLOE_seg-S")


def test_disabling_takes_everything_back(
    bare_paddlex: ModuleType, has_engines: bool, official_demo: Path
) -> None:
    before = seams(bare_paddlex, has_engines)
    hpip.enable_paddlex()
    assert is_paddlex_enabled()
    assert seams(bare_paddlex, has_engines) != before
    hpip.disable_paddlex()
    hpip.disable_paddlex()
    assert not is_paddlex_enabled()
    assert seams(bare_paddlex, has_engines) == before
    # PaddleX's own answer is back: its plug-in is missing.
    with pytest.raises(Exception, match=r"ultra-infer|high-performance inference plugin"):
        bare_paddlex.create_model(
            "PP-YOLOE_seg-S", model_dir=str(official_demo), device="cpu", use_hpip=True
        )


def test_enabling_twice_and_again_after_disabling(
    bare_paddlex: ModuleType, has_engines: bool
) -> None:
    hpip.enable_paddlex()
    once = seams(bare_paddlex, has_engines)
    hpip.enable_paddlex()
    assert seams(bare_paddlex, has_engines) == once
    model = make_demo(bare_paddlex, use_hpip=True)
    hpip.disable_paddlex()
    assert len(list(model.predict(str(DEMO / "coins.png")))) == 1
    hpip.enable_paddlex()
    assert runs_on_hpip(make_demo(bare_paddlex, use_hpip=True))


@pytest.mark.parametrize(
    "imports",
    [
        "import hpip.integrations.paddlex; import paddlex",
        "import paddlex; import hpip.integrations.paddlex",
        "import paddle, paddlex; import hpip; hpip.enable_paddlex()",
    ],
)
def test_either_may_be_imported_first(imports: str) -> None:
    done = run_python(
        f"{imports}\n"
        f"model = paddlex.create_model('hpip-demo', model_dir={str(DEMO)!r}, device='cpu',"
        " use_hpip=True)\n"
        "print(type(model._predictor).__module__)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("hpip.integrations.")


@pytest.mark.parametrize("version", ["3.8.0", "2.1.0", "4.0.0.dev1", "unknown"])
def test_an_unknown_version_is_refused_and_left_alone(
    bare_paddlex: ModuleType,
    has_engines: bool,
    version: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = seams(bare_paddlex, has_engines)
    monkeypatch.setattr(bare_paddlex, "__version__", version)
    with pytest.raises(BackendUnavailableError, match=rf"3\.0 to 3\.7.*{version}"):
        hpip.enable_paddlex()
    assert not is_paddlex_enabled()
    assert seams(bare_paddlex, has_engines) == before


def test_a_paddlex_without_the_expected_seams_is_refused(
    bare_paddlex: ModuleType, has_engines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = bare_paddlex.inference.models
    if not has_engines:
        pytest.skip("PaddleX before 3.5 has no function that could be missing")
    monkeypatch.delattr(models, "_resolve_effective_engine")
    with pytest.raises(BackendUnavailableError, match="_resolve_effective_engine"):
        hpip.enable_paddlex()
    assert not is_paddlex_enabled()


@pytest.fixture
def ultra_infer(
    bare_paddlex: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A package by the plug-in's name; it does nothing, but PaddleX turns to it."""
    from paddlex.utils.deps import is_dep_available

    (tmp_path / "ultra_infer.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    is_dep_available.cache_clear()
    yield
    is_dep_available.cache_clear()
    sys.modules.pop("ultra_infer", None)


def test_paddlex_own_plug_in_keeps_use_hpip(
    bare_paddlex: ModuleType, ultra_infer: None, official_demo: Path
) -> None:
    hpip.enable_paddlex()
    options = {"model_dir": str(official_demo), "device": "cpu"}
    with pytest.raises(ImportError, match="ultra_infer"):
        bare_paddlex.create_model("PP-YOLOE_seg-S", use_hpip=True, **options)
    named = bare_paddlex.create_model("PP-YOLOE_seg-S", engine="hpip", **options)
    assert runs_on_hpip(named)


def test_the_plug_in_is_replaced_when_asked_for(
    bare_paddlex: ModuleType, ultra_infer: None
) -> None:
    hpip.enable_paddlex()
    hpip.enable_paddlex(replace_ultra_infer=True)
    assert runs_on_hpip(make_demo(bare_paddlex, use_hpip=True))


@pytest.fixture
def python_without_opencv(tmp_path: Path) -> Path:
    """This environment but for OpenCV, as `pip install paddlex` without extras makes it."""
    venv.create(tmp_path / "env", with_pip=False)
    (folder,) = (tmp_path / "env").glob("lib/python*/site-packages")
    for packages in reversed(
        [Path(path) for path in sys.path if any(Path(path).glob("*.dist-info"))]
    ):
        for item in packages.iterdir():
            is_path_file = item.suffix == ".pth" and not item.read_text().startswith("import ")
            if is_path_file or item.name.lower().startswith(("cv2", "opencv")):
                continue
            (folder / item.name).unlink(missing_ok=True)
            (folder / item.name).symlink_to(item)
    return tmp_path / "env" / "bin" / "python"


def test_without_opencv_the_error_says_what_to_install(python_without_opencv: Path) -> None:
    code = (
        "import hpip.integrations.paddlex, paddlex\n"
        "from importlib.util import find_spec\n"
        "from paddlex.inference.pipelines import load_pipeline_config\n"
        "print(find_spec('cv2'), hpip.integrations.paddlex.is_paddlex_enabled())\n"
        "config = load_pipeline_config('instance_segmentation')\n"
        "config['SubModules']['InstanceSegmentation'].update(\n"
        f"    model_name='hpip-demo', model_dir={str(DEMO)!r})\n"
        "try:\n"
        "    paddlex.create_pipeline(config=config, device='cpu', use_hpip=True)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = run_python(code, python=python_without_opencv)
    assert done.returncode == 0, done.stderr
    enabled, error = done.stdout.splitlines()[-2:]
    assert enabled == "None True"
    assert error.startswith("DependencyError")
    assert "paddlex[cv]" in error


def test_always_on_enables_hpip_in_programs_that_never_name_it(tmp_path: Path) -> None:
    paddlex_always.always_on(tmp_path)
    code = (
        f"import site, sys; site.addsitedir({str(tmp_path)!r}); print('hpip' in sys.modules)\n"
        f"import paddlex\n"
        "model = paddlex.create_model('hpip-demo',"
        f" model_dir={str(DEMO)!r}, device='cpu', use_hpip=True)\n"
        "print(type(model._predictor).__module__)"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "False"
    assert done.stdout.splitlines()[-1].startswith("hpip.integrations.")
