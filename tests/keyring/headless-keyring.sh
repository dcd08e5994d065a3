#!/usr/bin/env bash
# Run CMD with a private, real Secret Service (gnome-keyring): unattended, as any user, without a display.
#   headless-keyring.sh [MODE] [--] CMD [ARGS...]      (no CMD: self-test of all modes)
# MODE  --unlocked (default)  login collection exists and is unlocked
#       --locked              login collection exists, has one item (service=gatepass username=seed), is locked
#       --no-login            daemon runs, but fresh user: no login collection, alias "default" is "/"
#       --no-service          bus runs, nobody owns or can activate org.freedesktop.secrets
#       --no-bus              no bus: DBUS_SESSION_BUS_ADDRESS unset, XDG_RUNTIME_DIR empty
#       --hung                daemon is stopped (SIGSTOP): requests are never answered
#       --denied              daemon runs unlocked, and the bus lets nobody speak to it
# CMD finds the daemon's pid in the file $KEYRING_PID_FILE. A daemon that ends is started again, unlocked if it was before.
#       --keyctl-session      also give CMD a fresh kernel session keyring (needed by linux-keyutils-keyring-store)
# Packages (Debian 12): apt-get install -y --no-install-recommends gnome-keyring dbus dbus-bin libsecret-tools keyutils
# Nothing of the caller's is touched: own XDG_DATA_HOME, XDG_RUNTIME_DIR and bus in a temp dir; only own pids are ended.
set -euo pipefail
SELF=$(readlink -f "$0"); PW=${KEYRING_PASSWORD:-ci-password}; MODE=unlocked; KS=()
while [ $# -gt 0 ]; do case $1 in
  --unlocked|--locked|--no-login|--no-service|--no-bus|--hung|--denied) MODE=${1#--};;
  --keyctl-session) KS=(keyctl session -);;
  --) shift; break;; *) break;; esac; shift; done

if [ $# -eq 0 ]; then   # ---- self-test
  L='timeout 5 secret-tool lookup service gatepass username seed'
  for m in unlocked locked no-login no-service no-bus hung denied; do
    s=$(date +%s%N); rc=0
    if [ $m = unlocked ]; then
      out=$("$SELF" --unlocked -- bash -c "printf s3cret | secret-tool store --label=t service gatepass username seed && $L" 2>&1) || rc=$?
    else out=$("$SELF" --$m -- bash -c "$L" 2>&1) || rc=$?; fi
    echo "$m: rc=$rc $(( ($(date +%s%N)-s)/1000000 ))ms  [${out//$'\n'/ }]"
  done; exit 0
fi

T=$(mktemp -d "${TMPDIR:-/tmp}/hk.XXXXXX"); chmod 700 "$T"; mkdir -m 700 "$T/run" "$T/data"
export XDG_RUNTIME_DIR=$T/run XDG_DATA_HOME=$T/data KEYRING_PID_FILE=$T/gkd.pid
unset DISPLAY WAYLAND_DISPLAY GNOME_KEYRING_CONTROL DBUS_SESSION_BUS_ADDRESS
PIDS=()
cleanup() {
  touch "$T/stop"
  if [ -s "$T/gkd.pid" ]; then g=$(cat "$T/gkd.pid"); kill -CONT "$g" 2>/dev/null || :; kill "$g" 2>/dev/null || :; fi
  for p in ${PIDS[@]+"${PIDS[@]}"}; do kill "$p" 2>/dev/null || :; done
  wait 2>/dev/null || :; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 143' TERM INT

# As confined programs see it: the service is there, and the bus hands it nothing.
deny() {
  sed -i 's|<allow own="\*"/>|&<deny send_destination="org.freedesktop.secrets"/>|' "$T/bus.conf"
  dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig >/dev/null; }

if [ $MODE != no-bus ]; then
  # No <servicedir>: nothing is D-Bus-activated behind our back (no second, locked daemon; no gcr-prompter).
  cat > "$T/bus.conf" <<X
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=$T/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
X
  dbus-daemon --config-file="$T/bus.conf" --nofork --nopidfile 2>"$T/bus.log" & PIDS+=($!)
  export DBUS_SESSION_BUS_ADDRESS=unix:path=$T/run/bus
  # The socket is there before anybody listens on it, and gnome-keyring asks for the bus once.
  for _ in $(seq 250); do
    dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId >/dev/null 2>&1 && break; sleep 0.02; done
fi

ss() { local m=$1; shift; dbus-send --session --print-reply --reply-timeout=2000 --dest=org.freedesktop.secrets /org/freedesktop/secrets "org.freedesktop.Secret.Service.$m" "$@"; }
daemon() { # $1: unlock|start. Restarted when it dies: 42.1..50 abort now and then under parallel clients.
  while [ ! -e "$T/stop" ]; do
    if [ "$1" = unlock ]; then
      gnome-keyring-daemon --foreground --unlock --components=secrets >>"$T/gkd.log" 2>&1 < <(printf %s "$PW") &
    else gnome-keyring-daemon --foreground --start --components=secrets >>"$T/gkd.log" 2>&1 </dev/null & fi
    echo $! > "$T/gkd.pid"; wait $! || :
    [ -e "$T/stop" ] || { echo "headless-keyring: gnome-keyring-daemon died, restarting" >&2; sleep 0.1; }
  done; }
up() { daemon "$1" & PIDS+=($!)
  # A busy machine has it answer before it has unlocked, and once in hundreds of starts it never does: then another one.
  for n in $(seq 600); do
    ss ReadAlias string:default >"$T/alias" 2>/dev/null && { [ "$1" = start ] || grep -q collection/login "$T/alias"; } && break
    [ $((n % 200)) != 0 ] || kill "$(cat "$T/gkd.pid")" 2>/dev/null || :
    sleep 0.02
  done
  [ "$1" = start ] || grep -q collection/login "$T/alias" || { cat "$T/gkd.log" >&2; echo "headless-keyring: not unlocked" >&2; exit 99; }; }
seed() { printf '%s' "${SEED_SECRET:-seed}" | secret-tool store --label=seed service gatepass username seed; }

case $MODE in
  unlocked) up unlock;;
  locked)   up unlock; seed; ss Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null;;
  no-login) up start;;
  hung)     up unlock; seed; kill -STOP "$(cat "$T/gkd.pid")";;
  denied)   up unlock; deny;;
esac
# In the background, so that a signal to this script ends everything at once: bash runs no trap while a child is in the foreground.
exec 3<&0
${KS[@]+"${KS[@]}"} "$@" <&3 & PIDS+=($!)
rc=0; wait $! || rc=$?
exit $rc
