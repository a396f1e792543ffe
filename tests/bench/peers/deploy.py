"""What `baseline` asks of a node, as somebody would write it who uses pyinfra. WORK names the file that tests/tools/bench
makes from a node that pve-harden hardened."""

import json
import os

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

with open(os.environ["WORK"], encoding="utf-8") as source:
    WORK = json.load(source)

READS = [
    "sshd -T",
    "ss -Htulnp",
    "dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\\n'",
    "systemctl show -p Id,ActiveState,UnitFileState ssh.service pveproxy.service pvedaemon.service pve-cluster.service",
    "journalctl -q -t sshd -t sshd-session --since -30d --grep Accepted -o cat || true",
    "ip -o address show",
]
for read in READS:
    host.get_fact(Command, read)

apt.packages(packages=["sudo", "libpam-pwquality", "cracklib-runtime"], no_recommends=True)
server.group(group="pve-admins", system=True)
server.user(
    user=WORK["admin"],
    groups=["pve-admins"],
    append=True,
    shell="/bin/bash",
    public_keys=WORK["authorized"].strip().splitlines(),
)
changed = []
for item in WORK["files"]:
    put = files.put(src=item["src"], dest=item["dest"], user="root", group="root", mode=item["mode"].lstrip("0"))
    if "validate" in item:
        server.shell(commands=[item["validate"] % item["dest"]], _if=put.did_change)
    changed.append(put)
systemd.service(service="ssh.service", running=True, enabled=True)
systemd.service(service="ssh.service", reloaded=True, _if=lambda: any(put.did_change() for put in changed))
