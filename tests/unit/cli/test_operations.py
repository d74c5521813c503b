"""What status and loadtest compute, and what they and backup refuse."""

from collections import Counter
from pathlib import Path

import pytest
from everthread.archive import read_manifest
from everthread.errors import RefusedError
from everthread.exposition import samples
from everthread.home import Home
from everthread.loadtest import Load, Tally, check_load, percentile, table
from everthread.loadtest_target import target_of
from everthread.reach import by_addresses, reach


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([7.0], 0.5) == 7.0


def test_the_table_names_what_did_not_complete() -> None:
    tally = Tally(begun=3, ends=Counter({"completed": 2, "refused: rate_limited": 1}), whole=[0.1, 0.2], took=2.0)
    shown = table(tally)
    assert shown[0].startswith("3 sent in 2.0 s, 2 completed (1.0 answers/s")
    assert "  1 refused: rate_limited" in shown
    assert shown[-1].split() == ["whole", "answer", "100", "ms", "200", "ms", "200", "ms", "200", "ms"]


@pytest.mark.parametrize("wrong", [{"messages": 10_001}, {"at_once": 0}, {"seconds": 1e9}])
def test_a_load_without_bounds_is_refused(wrong: dict[str, int]) -> None:
    given = {"messages": 1, "at_once": 1, "seconds": 1, **wrong}
    load = Load(messages=given["messages"], at_once=given["at_once"], seconds=given["seconds"], text="x", model=None)
    with pytest.raises(RefusedError, match="bounded"):
        check_load(load)


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no address of a gateway"):
        target_of(Home(tmp_path), ["localhost:8080"], user="x", token_file=None)
    with pytest.raises(RefusedError, match="--token-file"):
        target_of(Home(tmp_path), ["https://chat.example.org"], user="x", token_file=None)


def test_half_of_the_addresses_is_refused_and_so_is_an_empty_home(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="--mongodb-uri is not"):
        by_addresses("nats://localhost", None)
    with pytest.raises(RefusedError, match="there is nothing in"), reach(Home(tmp_path / "none"), None, None):
        pass
    with pytest.raises(RefusedError, match="is no backup"):
        read_manifest(tmp_path)


def test_samples_of_metrics_are_read_with_their_labels() -> None:
    text = '# TYPE a counter\na_total{model="x:y",code="4\\"0"} 3.0 # {trace_id="t"} 1.0\nb 2\n# EOF\n'
    assert list(samples(text)) == [("a_total", {"model": "x:y", "code": '4\\"0'}, 3.0), ("b", {}, 2.0)]
