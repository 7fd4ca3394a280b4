"""Shell commands that load modules of the kernel and set up what their files in /proc show.

Each gets a folder of its own, `$1`, in memory, and Python as `$PYTHON`; names and addresses are
those that documentation uses. What it starts goes on after it.
"""

from __future__ import annotations

_LOOPS = """
disks() {
    for at in $(seq "$1"); do
        truncate -s "$2" disk$at
        losetup --find --show "$PWD/disk$at"
    done
}
modprobe loop max_loop=32
"""
# By subject what is done.
RECIPES = {
    # Two bonds that speak LACP with each other, one with a port that is preferred, one that asks.
    "bonding": """
        modprobe bonding max_bonds=0
        ip netns add far
        ip -n far link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast
        ip link add bond0 type bond mode 802.3ad miimon 100 xmit_hash_policy layer3+4 updelay 200
        for at in 1 2; do
            ip link add near$at type veth peer name far$at netns far
            ip link set near$at master bond0
            ip -n far link set far$at master bond0
            ip -n far link set far$at up
            ip link set near$at up
        done
        ip -n far link set bond0 up
        ip link set bond0 up
        ip link add spare1 type dummy
        ip link add spare2 type dummy
        ip link add backup type bond mode active-backup miimon 50 downdelay 100
        ip link set spare1 master backup
        ip link set spare2 master backup
        ip link set backup type bond primary spare2
        ip link set backup up
        ip link add asking type bond mode balance-rr arp_interval 1000 \\
            arp_ip_target 192.0.2.1,192.0.2.2
        ip link add asked type dummy
        ip link set asked master asking
        ip link set asking up
    """,
    "vlan": """
        modprobe 8021q
        ip link add eth0 type dummy
        ip link set eth0 up
        ip link add link eth0 name eth0.100 type vlan id 100
        ip link add link eth0 name uplink7 type vlan id 7 reorder_hdr off gvrp on \\
            ingress-qos-map 1:4 6:2 egress-qos-map 2:3 0:7
        ip link add link eth0 name 'a|c' type vlan id 4094 loose_binding on
        ip link add link eth0.100 name inner type vlan proto 802.1ad id 12
        ip link set eth0.100 up
        ip address add 192.0.2.129/25 dev eth0.100
        ping -c 1 -W 1 192.0.2.130 || true
    """,
    # A service by TCP in both families, one whose clients stay, and calls known by their name.
    "ip_vs": """
        ip link add virtual type dummy
        ip link set virtual up
        for address in 192.0.2.2 192.0.2.10 192.0.2.11; do
            ip address add $address/32 dev virtual
        done
        for address in 2001:db8::1 2001:db8::10; do
            ip address add $address/128 dev virtual nodad
        done
        modprobe ip_vs_pe_sip
        ipvsadm -A -t 192.0.2.2:80 -s rr -p 300
        ipvsadm -a -t 192.0.2.2:80 -r 192.0.2.10:8080 -m
        ipvsadm -A -t [2001:db8::1]:443 -s rr
        ipvsadm -a -t [2001:db8::1]:443 -r [2001:db8::10]:8443 -m
        ipvsadm -A -u 192.0.2.2:5060 -s rr -p 60 --pe sip
        ipvsadm -a -u 192.0.2.2:5060 -r 192.0.2.11:5060 -m
        "$PYTHON" -c '
from socket import *
from os import fork
from time import sleep
if fork(): raise SystemExit
servers = [create_server(("192.0.2.10", 8080)), create_server(("2001:db8::10", 8443), family=AF_INET6)]
clients = [create_connection(("192.0.2.2", 80)), create_connection(("2001:db8::1", 443))]
closed = create_connection(("192.0.2.2", 80))
closed.close()
calls = socket(AF_INET, SOCK_DGRAM)
asked = b"INVITE sip:b@example.org SIP/2.0\\r\\nCall-ID: 7a3f@198.51.100.8\\r\\nCSeq: 1 INVITE\\r\\n\\r\\n"
calls.sendto(asked, ("192.0.2.2", 5060))
open("ready", "w").close()
sleep(100000)
' > /dev/null 2>&1 &
        until [ -e ready ]; do sleep 1; done
    """,
    "sctp": """
        modprobe sctp
        "$PYTHON" -c '
from socket import *
from os import fork
from time import sleep
SCTP = 132
listening = socket(AF_INET6, SOCK_STREAM, SCTP)
listening.bind(("::", 36412))
listening.listen(5)
many = socket(AF_INET, SOCK_SEQPACKET, SCTP)
many.bind(("127.0.0.1", 2905))
many.listen(1)
client = socket(AF_INET, SOCK_STREAM, SCTP)
client.connect(("127.0.0.1", 36412))
client.send(b"x" * 1000)
other = socket(AF_INET6, SOCK_STREAM, SCTP)
other.connect(("::1", 36412))
open("ready", "w").close()
sleep(100000)
' > /dev/null 2>&1 &
        until [ -e ready ]; do sleep 1; done
    """,
    "scsi": """
        modprobe scsi_debug num_tgts=2 max_luns=2 dev_size_mb=8
        modprobe scsi_debug ptype=5 || true
        echo 'scsi add-single-device 0 0 1 1' > /proc/scsi/scsi || true
        sleep 2
    """,
    "jbd2": f"""
        {_LOOPS}
        set -- $(disks 2 64M)
        mkfs.ext4 -q $1
        mkfs.ext4 -q -O journal_dev $2 65536 || mkfs.ext4 -q -O journal_dev $2
        mkdir inner
        mount $1 inner
        dd if=/dev/zero of=inner/file bs=64k count=100 conv=fsync
        for at in 1 2 3; do mkdir inner/$at; sync; done
    """,
    # Mirrors whole and degraded, an array that is made anew, one that stands still.
    "md": f"""
        {_LOOPS}
        for module in raid0 raid1 raid456 raid10; do modprobe $module; done
        set -- $(disks 14 24M)
        quiet() {{ yes | mdadm --quiet --create --metadata 1.2 "$@"; }}
        quiet /dev/md1 --level 1 --raid-devices 2 --bitmap none $1 $2
        quiet /dev/md2 --level 1 --raid-devices 2 --bitmap none $3 missing
        quiet /dev/md3 --level 5 --raid-devices 3 --spare-devices 1 $4 $5 $6 $7
        quiet /dev/md4 --level 10 --raid-devices 3 --bitmap internal $8 $9 ${{10}}
        quiet /dev/md0 --level 0 --raid-devices 2 ${{11}} ${{12}}
        mdadm --manage /dev/md3 --fail $4
        echo 1 > /sys/block/md2/md/sync_speed_max || true
        mdadm --manage /dev/md2 --add ${{13}}
        mdadm --stop /dev/md0
        mdadm --assemble --no-degraded --run /dev/md0 ${{11}} || true
        mdadm --incremental ${{11}} || true
    """,
    "fscache": "modprobe fscache || modprobe netfs; modprobe cachefiles; modprobe nfs",
    # The kernel's own server, and two shares of it mounted.
    "cifs": """
        case $(uname -r) in 5.*|6.1.*) echo 'the server of this kernel breaks'; exit 1 ;; esac
        mkdir -p share other inner1 inner2 /etc/ksmbd
        chmod 777 share other
        printf '[global]\\nbind interfaces only = no\\n' > conf
        for name in share other; do
            printf '[%s]\\npath = %s\\nread only = no\\nguest ok = no\\n' $name "$PWD/$name" >> conf
        done
        modprobe ksmbd
        ksmbd.adduser -i users -a somebody -p secret
        ksmbd.mountd -c "$PWD/conf" -u "$PWD/users" -p 445
        sleep 5
        modprobe cifs
        at=1
        for name in share other; do
            "$PYTHON" -c '
import ctypes, sys
name, place = sys.argv[1:]
told = f"ip=127.0.0.1,unc=\\\\\\\\127.0.0.1\\\\{name},user=somebody,pass=secret,vers=3.1.1"
libc = ctypes.CDLL(None, use_errno=True)
source = f"//127.0.0.1/{name}"
if libc.mount(source.encode(), place.encode(), b"cifs", 0, told.encode()):
    raise OSError(ctypes.get_errno(), "mount")
' $name inner$at
            at=$((at + 1))
        done
        dd if=/dev/zero of=inner1/file bs=64k count=20 conv=fsync
        ls inner1 inner2
        cat inner2/missing || true
        "$PYTHON" -c 'import time; open("inner1/file"); time.sleep(100000)' > /dev/null 2>&1 &
    """,
    # Two nodes of one machine that replicate a disk, and a device without one.
    "drbd": f"""
        {_LOOPS}
        mkdir -p /run/lock /var/lock /var/lib/drbd
        modprobe drbd
        set -- $(disks 2 64M)
        PATH=$PATH:$PROGRAMS/lib/drbd:$PROGRAMS/usr/lib/drbd
        at=0
        for disk in $1 $2; do
            yes yes | drbdmeta --force $at v08 $disk internal create-md
            drbdsetup-84 new-resource r$at
            drbdsetup-84 new-minor r$at $at 0
            drbdsetup-84 attach $at $disk $disk internal
            at=$((at + 1))
        done
        drbdsetup-84 connect r0 ipv4:127.0.0.1:7788 ipv4:127.0.0.1:7789 --protocol C
        drbdsetup-84 connect r1 ipv4:127.0.0.1:7789 ipv4:127.0.0.1:7788 --protocol C
        drbdsetup-84 new-resource r9
        drbdsetup-84 new-minor r9 9 0
        sleep 3
        drbdsetup-84 primary 0 --force
        sleep 1
    """,
}
# What they are about, below /proc.
FILES = (
    *("net/bonding/*", "net/vlan/*", "net/ip_vs", "net/ip_vs_conn", "net/ip_vs_stats"),
    *("net/sctp/*", "scsi/scsi", "fs/jbd2/*/info", "mdstat", "fs/fscache/stats", "fs/netfs/stats"),
    *("fs/cifs/Stats", "drbd", "net/protocols", "net/dev", "partitions", "diskstats", "modules"),
)
