#!/usr/bin/env bash
# A real Slurm on this machine, of Debian's packages, for the tests of clusters.
#
#     scripts/dev/slurm.sh install ROOT         # unpacks the packages below ROOT; nothing is installed
#     scripts/dev/slurm.sh start ROOT STATE     # its daemons in the background; prints what a shell must `eval` to speak to them
#     scripts/dev/slurm.sh stop STATE
#
# One node with two processors, a partition `main`, and one, `high`, whose jobs push those of `main` back into the queue. STATE is a
# folder for configuration, state and logs. Run as root.
set -euo pipefail

packages=(libhwloc15 liblua5.1-0 libmunge2 munge slurm-wlm-basic-plugins slurm-client slurmd slurmctld parallel)

install() {
    local root=$1 downloads
    [ ! -e "$root/complete" ] || return 0
    downloads=$(mktemp -d)
    chmod 755 "$downloads"
    (cd "$downloads" && apt-get download -qq "${packages[@]}") ||
        (apt-get update -qq && cd "$downloads" && apt-get download -qq "${packages[@]}")
    mkdir -p "$root"
    for package in "$downloads"/*.deb; do dpkg -x "$package" "$root"; done
    rm -r "$downloads"
    touch "$root/complete"
}

# The environment in which its commands find one another.
environment() {
    local root=$1 state=$2 libraries=$1/usr/lib/x86_64-linux-gnu
    echo "export SLURM_CONF='$state/slurm.conf' PATH='$root/usr/bin:$root/usr/sbin':\"\$PATH\""
    echo "export LD_LIBRARY_PATH='$libraries:$libraries/slurm-wlm'"
}

# Two ports that nothing listens on.
ports() {
    python3 -c 'import socket
both = [socket.socket() for _ in range(2)]
for one in both: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in both))'
}

start() {
    local root=$1 state=$2 host controller daemon
    host=$(hostname)
    read -r controller daemon < <(ports)
    mkdir -p "$state/save" "$state/spool"
    cat >"$state/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$controller
SlurmdPort=$daemon
StateSaveLocation=$state/save
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
PluginDir=$root/usr/lib/x86_64-linux-gnu/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN RealMemory=1000
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE OverSubscribe=NO
PartitionName=high Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
END
    environment "$root" "$state"
    eval "$(environment "$root" "$state")"
    setsid slurmctld-wlm -D -f "$state/slurm.conf" >"$state/slurmctld.log" 2>&1 </dev/null &
    echo $! >"$state/pids"
    setsid slurmd-wlm -D -f "$state/slurm.conf" -N "$host" -d "$root/usr/sbin/slurmstepd-wlm" >"$state/slurmd.log" 2>&1 </dev/null &
    echo $! >>"$state/pids"
    for _ in {1..200}; do
        ! sinfo --noheader --format=%T 2>/dev/null | grep -q idle || return 0
        sleep 0.1
    done
    tail -n 5 "$state"/*.log >&2
    return 1
}

stop() {
    [ ! -e "$1/pids" ] || xargs kill <"$1/pids" || true
}

case ${1-} in
    install | start | stop) "$@" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && [ "${1-}" = --help ] ;;
esac
