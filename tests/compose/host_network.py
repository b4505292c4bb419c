"""What a container engine does to the machine's network, and how it is undone. Facts: dockerd(8), iptables-save(8)."""

import ipaddress
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

_RANGES = ("172.30.0.0/16", "172.29.0.0/16", "172.28.0.0/16", "10.213.0.0/16", "192.168.176.0/20")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_LINKS = ("docker", "br-", "veth")
_NAMES = re.compile(r"\b(DOCKER[\w-]*|docker0|br-[0-9a-f]{12})\b")


def free_range(used: list[str]) -> ipaddress.IPv4Network | None:
    """Return a private range that overlaps none of these networks, or None when every candidate does."""
    taken = [ipaddress.IPv4Network(each, strict=False) for each in used]
    candidates = map(ipaddress.IPv4Network, _RANGES)
    return next((each for each in candidates if not any(each.overlaps(other) for other in taken)), None)


def used_ranges() -> list[str]:
    """Return the networks of every interface and route."""
    routes = [line.split()[0] for line in _output("ip", "-4", "route", "show").splitlines()]
    addresses = [
        f"{each.address}/{each.netmask}"
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family.name == "AF_INET"
    ]
    return addresses + [route for route in routes if re.fullmatch(r"[\d.]+(/\d+)?", route)]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@dataclass(frozen=True, slots=True)
class State:
    """The links, chains and rules of engines (the latter with their tables), and how the machine forwards."""

    links: frozenset[str]
    chains: tuple[tuple[str, str], ...]
    rules: tuple[tuple[str, str], ...]
    policy: str
    forwarding: str

    @classmethod
    def now(cls) -> "State":
        """Look."""
        chains, rules, table, policy = [], [], "", "ACCEPT"
        for line in _output("iptables-save").splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":DOCKER"):
                chains.append((table, line[1:].split()[0]))
            elif line.startswith("-A ") and _NAMES.search(line):
                rules.append((table, line.removeprefix("-A ")))
            elif line.startswith(":FORWARD ") and table == "filter":
                policy = line.split()[1]
        links = frozenset(name for name in psutil.net_if_addrs() if name.startswith(_LINKS))
        return cls(links, tuple(chains), tuple(rules), policy, _FORWARDING.read_text().strip())

    def restore(self) -> None:
        """Take away what has come since, and nothing that was there."""
        now = State.now()
        for link in now.links - self.links:
            _output("ip", "link", "delete", link)
        for table, rule in set(now.rules) - set(self.rules):
            _output("iptables", "--table", table, "--delete", *rule.split())
        for table, chain in set(now.chains) - set(self.chains):
            _output("iptables", "--table", table, "--delete-chain", chain)
        if now.policy != self.policy:
            _output("iptables", "--policy", "FORWARD", self.policy)
        if now.forwarding != self.forwarding:
            _FORWARDING.write_text(self.forwarding)
