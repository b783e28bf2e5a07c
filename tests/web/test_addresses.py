"""Where a request comes from, and who may say so."""

import pytest

from livestream.web.addresses import ClientAddresses, group
from livestream.web.refusals import PolicyError

PROXY, CLIENT, OTHER = "10.0.0.1", "203.0.113.7", "198.51.100.9"


def test_without_a_trusted_proxy_the_header_is_ignored():
    assert ClientAddresses().client(OTHER, CLIENT) == OTHER


def test_an_untrusted_peer_cannot_forge_it():
    assert ClientAddresses([PROXY]).client(OTHER, CLIENT) == OTHER


@pytest.mark.parametrize(("header", "found"), {
    CLIENT: CLIENT,
    # Whatever a client sent itself stands left of what the proxy added.
    f"1.2.3.4, {CLIENT}": CLIENT,
    f"{OTHER}, {CLIENT}, 10.0.0.9": CLIENT,
    f"{OTHER},{PROXY},{CLIENT}": CLIENT,
    "10.0.0.8, 10.0.0.9": "10.0.0.8",
    "": PROXY,
    "unknown": PROXY,
    f"{OTHER}, <script>, 10.0.0.9": "10.0.0.9",
    ", ,": PROXY,
    f"{CLIENT}:4711": CLIENT,
    '"[2001:db8::7]:4711"': "2001:db8::7",
    "2001:db8::7": "2001:db8::7",
    f"::ffff:{CLIENT}": CLIENT,
    "fe80::1%eth0": "fe80::1",
}.items())
def test_behind_a_trusted_proxy_the_last_untrusted_address_counts(header, found):
    assert ClientAddresses(["10.0.0.0/8"]).client(PROXY, header) == found


def test_a_proxy_is_known_by_its_mapped_address_too():
    assert ClientAddresses([PROXY]).client(f"::ffff:{PROXY}", CLIENT) == CLIENT


def test_ipv6_and_ipv4_proxies_stand_beside_each_other():
    addresses = ClientAddresses(["fd00::/8", PROXY])
    assert addresses.client("fd00::1", f"{CLIENT}, {PROXY}") == CLIENT


def test_an_ipv6_network_counts_as_one_client():
    assert group("2001:db8:1:2:3:4:5:6") == group("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert group("2001:db8:1:3::9") != group("2001:db8:1:2::9")
    assert (group(CLIENT), group("")) == (CLIENT, "")


@pytest.mark.parametrize("option", ["::ffff:10.0.0.0/104", f"::ffff:{PROXY}", "::ffff:0:0/96"])
def test_a_network_of_ipv4_addresses_written_as_ipv6_is_one_of_ipv4(option):
    addresses = ClientAddresses([option])
    assert addresses.client(PROXY, CLIENT) == CLIENT
    assert addresses.client("2001:db8::1", CLIENT) == "2001:db8::1"


@pytest.mark.parametrize("option", ["", "proxy.example", "10.0.0.1/33", "10.0.0.1/8", "10.0.0.1:80", "*"])
def test_what_is_no_network_is_one_clear_line(option):
    with pytest.raises(PolicyError, match="^--trusted-proxy .* is no address and no network [^\n]*$"):
        ClientAddresses([option])
