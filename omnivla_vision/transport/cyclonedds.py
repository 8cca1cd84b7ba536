"""Cyclone DDS: a message comes in pieces, and the kernel drops those that find the receive buffer full."""

from __future__ import annotations

from collections.abc import Mapping

from omnivla_vision.transport.cyclonedds_uri import CycloneConfigError, receive_buffer_size
from omnivla_vision.transport.finding import Transport, holds
from omnivla_vision.transport.kernel import setting

VARIABLE = "CYCLONEDDS_URI"
# Cyclone DDS's manual, Internal/SocketReceiveBufferSize: "will request 1MiB and accept anything".
DEFAULT_REQUEST_BYTES = 1 << 20
# ROS 2's page "DDS tuning information", section Cyclone DDS. A limit: it reserves nothing.
SYSCTL = "sudo sysctl -w net.core.rmem_max=2147483647"
SHIPPED = f"set {VARIABLE} to file://, followed by the path of config/cyclonedds.xml of this package"
SILENT_PUBLISHER = (
    "its images may be too large for the receive buffer of CycloneDDS: the status transport says what it holds, "
    "docs/transport.md how to enlarge it"
)


def examine(message_bytes: int, *, rmw: str, environment: Mapping[str, str]) -> Transport:
    """Compare what the kernel lets Cyclone DDS's receive buffer hold with messages of that size."""
    uri = environment.get(VARIABLE, "")
    values: dict[str, object] = {VARIABLE: uri or "not set"}

    def finding(found: str, advice: str = "") -> Transport:
        return Transport(rmw=rmw, found=found, advice=advice, silent_publisher=SILENT_PUBLISHER, values=values)

    try:
        minimum, maximum = receive_buffer_size(uri, domain=environment.get("ROS_DOMAIN_ID") or "0")
    except CycloneConfigError as error:
        return finding(f"{VARIABLE} cannot be read: {error}", SHIPPED)
    allowed, default = setting("net.core.rmem_max"), setting("net.core.rmem_default")
    if allowed is None or default is None:
        return finding("not checked: this system does not show net.core.rmem_max, which limits CycloneDDS's buffers")
    requested, granted = _buffer(minimum, maximum, allowed=allowed, default=default)
    # socket(7): the kernel doubles what is asked for, "to allow space for bookkeeping overhead".
    size = granted // 2
    values |= {"net.core.rmem_max": allowed, "requested_bytes": requested, "receive_buffer_bytes": size}
    if minimum is not None and granted < minimum:
        found = f"CycloneDDS will not start: {VARIABLE} demands a receive buffer of {minimum} bytes and the kernel "
        return finding(f"{found}gives {granted}", f"{SYSCTL}, or demand less")
    found = holds("CycloneDDS's receive buffer", size, message_bytes)
    if size >= message_bytes:
        return finding(found)
    found += ": best-effort messages of that size get lost, reliable ones come late"
    advice = [SYSCTL] if allowed < message_bytes else []
    advice += [SHIPPED] if requested < message_bytes else []
    return finding(found, ", and ".join(advice) + "; here and for whoever receives the tokens")


def _buffer(minimum: int | None, maximum: int | None, *, allowed: int, default: int) -> tuple[int, int]:
    """The bytes that Cyclone DDS asks for, and what the socket has then; as in its set_socket_buffer."""
    floor = minimum or 0
    requested = floor or DEFAULT_REQUEST_BYTES
    if maximum is not None and maximum > floor:
        requested = maximum
    asks_always = maximum is not None and maximum >= floor
    return requested, 2 * min(requested, allowed) if asks_always or default < requested else default
