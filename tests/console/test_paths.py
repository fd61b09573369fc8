from pathlib import Path as File

from postern.console.paths import MOST_GROUPS, path_samples
from postern.mail.paths import Path, Sign
from postern.routing.paths.health import PathCondition, PathState
from postern.routing.paths.store.file import PathStore, Written
from postern.routing.paths.store.schema import FILE_NAME

NOW = 1_750_000_000.0


def state(number: int, condition: PathCondition) -> PathState:
    path = Path("direct", f"192.0.{number // 200}.{number % 200}", 25, encrypted=True)
    return PathState(
        path, f"tea{number}.example", "mx", condition, NOW, Sign.SILENT, "", None, 2, 0.0,
        0, NOW, NOW, NOW,
    )  # fmt: skip


def written(folder: File, *states: PathState) -> dict[str, float]:
    store = PathStore.open(folder, "test")
    store.write(Written(states))
    store.close()
    return {
        f"{sample.name} {sample.labels[0][1]}": sample.value for sample in path_samples(folder, NOW)
    }


def test_groups_that_are_not_well_are_counted_and_named(tmp_path: File) -> None:
    samples = written(
        tmp_path,
        state(1, PathCondition.BLOCKED),
        state(2, PathCondition.DEGRADED),
        state(3, PathCondition.HEALTHY),
    )
    assert samples == {
        "postern_mx_groups blocked": 1,
        "postern_mx_groups probing": 0,
        "postern_mx_groups degraded": 1,
        "postern_mx_group_up tea1.example": 0,
        "postern_mx_group_up tea2.example": 1,
    }


def test_only_so_many_groups_are_named_the_worst_first(tmp_path: File) -> None:
    many = [state(number, PathCondition.DEGRADED) for number in range(300)]
    samples = written(tmp_path, *many, state(400, PathCondition.BLOCKED))
    named = [name for name in samples if name.startswith("postern_mx_group_up")]
    assert len(named) == MOST_GROUPS
    assert samples["postern_mx_group_up tea400.example"] == 0
    assert samples["postern_mx_groups degraded"] == 300


def test_without_a_file_or_with_one_that_is_none_nothing_is_told(tmp_path: File) -> None:
    assert list(path_samples(tmp_path, NOW)) == []
    (tmp_path / FILE_NAME).mkdir()
    assert list(path_samples(tmp_path, NOW)) == []
