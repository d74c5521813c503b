"""`everthread doctor`: it tells what the services would refuse, before they are started."""

import json
from pathlib import Path

import pytest
from everthread.doctor import examine
from everthread.home import Home


def test_a_registry_with_a_key_that_nothing_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "our-models.toml"
    file.write_text("[providers.mine]\nbase_ulr = 'http://127.0.0.1:1'\n")
    monkeypatch.setenv("EVERTHREAD_MODELS_FILE", str(file))
    assert examine(Home(tmp_path / "home"), as_json=True) == 1
    found = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}["models"]
    assert found["state"] == "wrong"
    assert found["found"] == f"{file}: [providers.mine] base_ulr is set, but nothing reads it (did you mean base_url?)"
    assert "correct it" in found["remedy"]
