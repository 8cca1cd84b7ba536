"""What the middlewares' settings say of messages of a size, without a middleware."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from omnivla_vision.resources import resource_path
from omnivla_vision.transport import cyclonedds, fastdds, json5, zenoh
from omnivla_vision.transport.cyclonedds_uri import CycloneConfigError, receive_buffer_size
from omnivla_vision.transport.examine import examine
from omnivla_vision.transport.finding import Transport
from omnivla_vision.transport.shipped import use_shipped_profile

MIB = 1 << 20
TOKENS = 2228224
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize(
    ("rclpy", "distro", "variable"),
    [
        ("3.3.21", "", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("7.1.6", "kilted", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("9.1.2", "humble", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("", "humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("", "jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("", "kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("", "", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_variable_of_the_profile(rclpy: str, distro: str, variable: str, monkeypatch: Patch) -> None:
    def version(package: str) -> str:
        assert package == "rclpy"
        if not rclpy:
            raise PackageNotFoundError
        return rclpy

    monkeypatch.setattr(fastdds, "version", version)
    assert fastdds.profile_variable({"ROS_DISTRO": distro}) == variable
    environment = {"ROS_DISTRO": distro}
    use_shipped_profile(environment)
    assert environment[variable] == str(resource_path("config/fastdds.xml"))


def test_the_shipped_settings_do_not_replace_the_users() -> None:
    own = {fastdds.profile_variable(): "/own.xml", "CYCLONEDDS_URI": "<Tracing/>"}
    environment = dict(own)
    use_shipped_profile(environment)
    assert environment == own
    del environment["CYCLONEDDS_URI"]
    use_shipped_profile(environment)
    assert environment["CYCLONEDDS_URI"] == f"file://{resource_path('config/cyclonedds.xml')}"


def fast(environment: dict[str, str], message_bytes: int = TOKENS) -> Transport:
    return examine(message_bytes, rmw="rmw_fastrtps_cpp", environment=environment)


def test_fast_dds_without_and_with_the_profile(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    variable = fastdds.profile_variable()
    nothing = fast({})
    assert nothing.found.startswith(f"Fast DDS's shared-memory segment holds {512 << 10} bytes and a token message")
    assert variable in nothing.advice
    assert nothing.values == {variable: "not set", "segment_bytes": 512 << 10}
    shipped = fast({variable: str(resource_path("config/fastdds.xml"))})
    assert (shipped.advice, shipped.values["segment_bytes"]) == ("", 16 * MIB)
    assert "config/fastdds.xml" in shipped.silent_publisher


def test_fast_dds_with_a_profile_that_cannot_be_read(tmp_path: Path) -> None:
    profile = tmp_path / "profile.xml"
    for text in ("<dds>", "<dds><segment_size>16 MB</segment_size></dds>", None):
        profile.unlink(missing_ok=True)
        if text is not None:
            profile.write_text(text)
        found = fast({fastdds.profile_variable(): str(profile)})
        assert "cannot be read" in found.found
        assert found.advice


def test_fast_dds_with_transports_of_its_own() -> None:
    found = fast({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"})
    assert found.sentence == "not checked: FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA decides the transport"


@pytest.mark.parametrize(
    ("uri", "sizes"),
    [
        ("", (None, None)),
        ('<CycloneDDS><Domain><Internal><SocketReceiveBufferSize min="10MB"/></Internal></Domain></CycloneDDS>',
         (10 * MIB, None)),
        # What Cyclone DDS's own documents use: anonymous ends, ends left out, no elements above.
        ('<Internal><SocketReceiveBufferSize min="64kB" max="default"/></>', (64 << 10, None)),
        ('<Internal><SocketReceiveBufferSize max="1.5MiB">', (None, 3 * MIB // 2)),
        ("<Internal><MinimumSocketReceiveBufferSize>250kB</></>", (250 << 10, None)),
        ("<Tracing><Verbosity>trace</><Out>stderr</></>", (None, None)),
        ('<!-- > --><internal><socketreceivebuffersize max="100"/></internal>', (None, 100)),
        # A later part wins over an earlier one.
        (' ,<Internal><SocketReceiveBufferSize min="1B" max="2 B"/></> , <Internal><SocketReceiveBufferSize max="3B"/>',
         (1, 3)),
        ('<Domain id="any"><Internal><SocketReceiveBufferSize max="1B"/></></>', (None, 1)),
        ('<Domain Id="7"><Internal><SocketReceiveBufferSize max="1B"/></></>', (None, 1)),
        ('<Domain id="8"><Internal><SocketReceiveBufferSize max="1B"/></></>', (None, None)),
    ],
)  # fmt: skip
def test_a_cyclonedds_uri(uri: str, sizes: tuple[int | None, int | None]) -> None:
    assert receive_buffer_size(uri, domain="7") == sizes


def test_files_in_a_cyclonedds_uri(tmp_path: Path) -> None:
    own = tmp_path / "own.xml"
    own.write_text(
        '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize min="1kB"/></Internal></Domain></CycloneDDS>'
    )
    shipped = resource_path("config/cyclonedds.xml")
    assert receive_buffer_size(f"file://{shipped}", domain="0") == (None, 16 * MIB)
    assert receive_buffer_size(f"{own},file://{shipped}", domain="0") == (1024, 16 * MIB)
    assert receive_buffer_size(f"file://{own},<Tracing/>", domain="0") == (1024, None)


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("file:///nowhere.xml", "/nowhere.xml: No such file"),
        ("<Internal><Test></Internal>", "is not XML: mismatched tag"),
        ('<Internal><SocketReceiveBufferSize max="16 megabytes"/></>', "found '16 megabytes', expected a size"),
        ('<Internal><SocketReceiveBufferSize max="16mb"/></>', "found '16mb'"),
    ],
)
def test_a_cyclonedds_uri_that_cannot_be_read(uri: str, match: str) -> None:
    with pytest.raises(CycloneConfigError, match=match):
        receive_buffer_size(uri, domain="0")
    found = examine(TOKENS, rmw="rmw_cyclonedds_cpp", environment={"CYCLONEDDS_URI": uri})
    assert match in found.found
    assert "config/cyclonedds.xml" in found.advice


def cyclone(size: str, *, allowed: int | None, monkeypatch: Patch) -> Transport:
    kernel = {"net.core.rmem_max": allowed, "net.core.rmem_default": 212992}
    monkeypatch.setattr(cyclonedds, "setting", kernel.__getitem__)
    uri = f"<Internal><SocketReceiveBufferSize {size}/></>"
    return examine(TOKENS, rmw="rmw_cyclonedds_cpp", environment={"CYCLONEDDS_URI": uri})


@pytest.mark.parametrize(
    ("size", "allowed", "holds", "advice"),
    [
        ("", 212992, 212992, ["sysctl", "config/cyclonedds.xml"]),
        ("", 4 * MIB, 1 * MIB, ["config/cyclonedds.xml"]),
        ('max="16MiB"', 212992, 212992, ["sysctl"]),
        ('max="16MiB"', 4 * MIB, 4 * MIB, []),
        ('max="16MiB"', 1 << 31, 16 * MIB, []),
        ('min="4MB"', 4 * MIB, 4 * MIB, []),
        ('min="4MB" max="2MB"', 16 * MIB, 4 * MIB, []),
        ('min="100kB"', 4 * MIB, 212992 // 2, ["config/cyclonedds.xml"]),  # smaller than what a socket has anyway
        ('max="100kB"', 4 * MIB, 100 << 10, ["config/cyclonedds.xml"]),
    ],
)
def test_cyclone_dds_receive_buffer(size: str, allowed: int, holds: int, advice: list[str], monkeypatch: Patch) -> None:
    found = cyclone(size, allowed=allowed, monkeypatch=monkeypatch)
    assert found.values["receive_buffer_bytes"] == holds
    assert f"holds {holds} bytes and a token message {TOKENS}" in found.found
    assert [word for word in ("sysctl", "config/cyclonedds.xml") if word in found.advice] == advice
    assert ("get lost" in found.found) == bool(advice)
    assert "CycloneDDS" in found.silent_publisher
    assert "Fast DDS" not in found.silent_publisher


def test_cyclone_dds_that_will_not_start(monkeypatch: Patch) -> None:
    """As seen with Cyclone DDS 0.10: where rmem_max is 4 MiB it starts with min="8MB", and not with min="10MB"."""
    assert cyclone('min="8MB"', allowed=4 * MIB, monkeypatch=monkeypatch).advice == ""
    refused = cyclone('min="10MB"', allowed=4 * MIB, monkeypatch=monkeypatch)
    assert refused.found.startswith("CycloneDDS will not start")
    assert f"{10 * MIB} bytes and the kernel gives {8 * MIB}" in refused.found
    assert "sysctl" in refused.advice


def test_cyclone_dds_where_the_kernel_tells_nothing(monkeypatch: Patch) -> None:
    found = cyclone("", allowed=None, monkeypatch=monkeypatch)
    assert found.sentence.startswith("not checked: this system does not show net.core.rmem_max")


SESSION = """{
  // mode: "peer",
  mode: 'peer', /* a comment, with { and // in it */
  connect: { endpoints: ["tcp/[::1]:7447", "unix//path"], },
  transport: {
    shared_memory: {
      transport_optimization: { enabled: true, pool_size: 8388608, },
      enabled: %s, // "off" } ] */
      // pool: {}
      mode: "lazy",
    },
  },
}
"""


def test_json5() -> None:
    text = SESSION % "false"
    shared_memory = {
        "transport_optimization": {"enabled": True, "pool_size": 8 * MIB},
        "enabled": False,
        "mode": "lazy",
    }
    assert json5.loads(text) == {
        "mode": "peer",
        "connect": {"endpoints": ["tcp/[::1]:7447", "unix//path"]},
        "transport": {"shared_memory": shared_memory},
    }
    assert json5.loads('{a: \'it\\\'s "b"\', "c:": [1, 2,]}') == {"a": 'it\'s "b"', "c:": [1, 2]}
    with pytest.raises(ValueError, match="Expecting"):
        json5.loads("{mode: }")


def zenoh_says(message_bytes: int = TOKENS, **environment: str) -> Transport:
    return examine(message_bytes, rmw="rmw_zenoh_cpp", environment=environment)


def test_zenoh_by_its_file_and_by_the_override(tmp_path: Path) -> None:
    installed = tmp_path / zenoh.DEFAULT_FILE
    installed.parent.mkdir(parents=True)
    installed.write_text("{transport: {shared_memory: {enabled: false, mode: 'lazy'}}}")
    own = tmp_path / "own.json5"
    own.write_text(SESSION % "true")
    off = zenoh_says(AMENT_PREFIX_PATH=f"/nowhere:{tmp_path}")
    assert "shared memory is off" in off.found
    assert "ZENOH_CONFIG_OVERRIDE='transport/shared_memory/enabled=true'" in off.found
    assert (off.advice, off.values["shared_memory"]) == ("", "off")
    override = 'mode="client";transport/shared_memory/enabled=true'
    on = zenoh_says(AMENT_PREFIX_PATH=str(tmp_path), ZENOH_CONFIG_OVERRIDE=override)
    assert on.sentence == "Zenoh's shared memory is on, with a pool of Zenoh's own size"
    assert on.values["shared_memory"] == "on"
    by_file = zenoh_says(AMENT_PREFIX_PATH=str(tmp_path), ZENOH_SESSION_CONFIG_URI=str(own))
    assert (by_file.values["pool_bytes"], by_file.advice) == (8 * MIB, "")
    whole = zenoh_says(
        ZENOH_CONFIG_OVERRIDE="transport/shared_memory={enabled: false}", ZENOH_SESSION_CONFIG_URI=str(own)
    )
    assert whole.values["shared_memory"] == "off"
    assert "Zenoh" in on.silent_publisher


def test_zenoh_with_a_pool_that_is_too_small(tmp_path: Path) -> None:
    own = tmp_path / "own.json5"
    own.write_text(SESSION % "true")
    small = zenoh_says(ZENOH_SESSION_CONFIG_URI=str(own), ZENOH_SHM_ALLOC_SIZE="4194304")
    assert f"its pool holds {4 * MIB} bytes and a token message {TOKENS}" in small.found
    assert f"pool_size to {2 * TOKENS} or more" in small.advice
    assert zenoh_says(ZENOH_SESSION_CONFIG_URI=str(own), ZENOH_SHM_ALLOC_SIZE="4456448").advice == ""


def test_zenoh_that_cannot_be_checked(tmp_path: Path) -> None:
    assert "was not found in AMENT_PREFIX_PATH" in zenoh_says().found
    silent, broken = tmp_path / "silent.json5", tmp_path / "broken.json5"
    silent.write_text("{mode: 'client'}")
    broken.write_text("{mode:")
    assert "silent.json5 does not say" in zenoh_says(ZENOH_SESSION_CONFIG_URI=str(silent)).found
    for file in (broken, tmp_path / "missing.json5"):
        found = zenoh_says(ZENOH_SESSION_CONFIG_URI=str(file))
        assert found.found.startswith("not checked: the configuration of Zenoh's session cannot be read here")


def test_an_unknown_middleware() -> None:
    found = examine(TOKENS, rmw="rmw_connextdds", environment={})
    assert found.sentence == "not checked: unknown middleware rmw_connextdds"
    assert "rmw_connextdds" in found.silent_publisher
