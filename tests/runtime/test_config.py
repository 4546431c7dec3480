from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice_runtime.config import ConfigError, load, setting


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path = setting("Where.")
    size_gb: int = setting("How much.", default=10, unit="GB")

    def __post_init__(self) -> None:
        if self.size_gb < 1:
            raise ValueError(f"size_gb is {self.size_gb}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Limits:
    rate_mbps: float = setting("How fast.", default=100.0)


@dataclass(frozen=True, slots=True)
class Box:
    name: str = setting("Who.")
    tls: bool = setting("Whether.", default=False)
    ratio: float = setting("How.", default=0.5)
    parent: Path | None = setting("Above.", default=None)
    labels: tuple[str, ...] = setting("What.", default=())
    limits: Limits = setting("Bounds.", default=Limits())
    disks: tuple[Disk, ...] = setting("Disks.", default=())


def written(folder: Path, text: str) -> Path:
    path = folder / "box.toml"
    path.write_text(text)
    return path


def test_every_kind_of_value_arrives_as_what_the_program_declared(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
name = "a-1"
tls = true
ratio = 1
parent = "above"
labels = ["x", "y"]
[limits]
rate_mbps = 2.5
[[disks]]
path = "/srv/one"
[[disks]]
path = "two"
size_gb = 3
""",
    )
    assert load(path, Box) == Box(
        name="a-1",
        tls=True,
        ratio=1.0,
        parent=tmp_path / "above",
        labels=("x", "y"),
        limits=Limits(2.5),
        disks=(Disk(Path("/srv/one")), Disk(tmp_path / "two", 3)),
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('\nnaem = "a"', ":2", "unknown key 'naem'; did you mean 'name'?"),
        ("tls = true", ":1", "'name' is missing"),
        ('name = "a"\ntls = 1', ":2", "'tls' is 1, expected a value of type bool"),
        ("name = 4", ":1", "'name' is 4, expected a value of type str"),
        ('name = "a"\nratio = nan', ":2", "'ratio' is nan, expected a finite number"),
        ('name = "a"\nratio = true', ":2", "'ratio' is True, expected a value of type float"),
        ('name = "a"\nlabels = ["x", 2]', ":2", "'labels' is 2, expected a value of type str"),
        ('name = "a"\n[limits]\nrate_mbps = ""', ":3", "'limits.rate_mbps' is ''"),
        ('name = "a"\n[limits]\nrate = 1', ":3", "unknown key 'limits.rate'; did you mean"),
        ('name = "a"\nlimits = 3', ":2", "'limits' is 3, expected a value of type Limits"),
        ('name = "a"\ndisks = [1]', ":2", "'disks' is [1], expected tables"),
        ('name = "a"\n[disks]\npath = "x"', ":2", "'disks' is {'path': 'x'}"),
        ('name = "a"\n[[disks]]\nsize_gb = 1', ":2", "'disks.path' is missing"),
        (
            'name = "a"\n[[disks]]\npath = "x"\n[[disks]]\npath = "y"\nsize_gb = 0',
            ":6",
            "disks.size_gb is 0, expected at least 1",
        ),
        ('name = "a"\nname = "b"', ":2", "Cannot overwrite a value"),
        ('name = "a"\n\n[limits\n', ":3", "Expected"),
        ('name = "a', ":1", "Unterminated string"),
        ("name = " + "[" * 9000, "", "not readable as TOML"),
        ("name = " + "9" * 5000, "", "not readable as TOML"),
    ],
)
def test_a_mistake_is_named_by_file_and_line(
    tmp_path: Path, text: str, line: str, reason: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(path, Box)
    assert str(refused.value).startswith(f"{path}{line}: ")
    assert reason in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: No such file or directory"):
        load(tmp_path / "gone.toml", Box)
    with pytest.raises(ConfigError, match=f"{tmp_path}: Is a directory"):
        load(tmp_path, Box)
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match=r"latin\.toml: byte 8 is not UTF-8"):
        load(path, Box)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.text(alphabet="abd=[]{}\"\n.'#1 -,t", max_size=60))
def test_no_file_whatever_ends_in_a_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with pytest.raises(ConfigError, match=r"any\.toml"):
        load(path, Box)
