#!/bin/bash
# Two sites on one machine, without root: what `make demo-sites` runs. It prints
# every command that it gives, wants dormant in PATH, and leaves audit-SITE.csv and
# audit-SITE.html in the current folder. With WEB=1 it also serves the web page,
# until Ctrl-C. Everything listens on loopback only.
set -eu -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
leave=$PWD
dir=$(mktemp -d)
cd "$dir"
for name in "${!DORMANT_@}"; do unset "$name"; done
export XDG_STATE_HOME=$dir XDG_CONFIG_HOME=$dir # the demo is no part of your history

# background NAME ARGUMENT…: dormant beside this script. What it says on stderr
# has its name in front.
background() {
	local name=$1
	shift
	echo "\$ dormant $* &"
	{
		dormant "$@" 2>&1 >/dev/null &
		echo $! >"$name.pid"
		wait $!
	} | tee "$name.log" | sed -u "s/^/$(printf '    %-7s | ' "$name")/" >&2 &
	until [ -s "$name.pid" ]; do sleep 0.01; done
}

running() { [ -s "$1.pid" ] && kill -0 "$(cat "$1.pid")" 2>/dev/null; }

# stop NAME…: ends what background has begun, and waits for it.
stop() {
	local name
	for name; do ! running "$name" || kill "$(cat "$name.pid")" 2>/dev/null || true; done
	for name; do while running "$name"; do sleep 0.05; done; done
}

# await NAME COMMAND…: until the command succeeds, while NAME runs.
await() {
	local name=$1
	shift
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return; fi
		if ! running "$name"; then break; fi
		sleep 0.1
	done
	echo "demo-sites: $name did not start" >&2
	exit 1
}

cleanup() {
	trap '' INT TERM HUP
	stop hq-1 plant-1
	stop server hq-lab plant-lab
	wait
	cd /
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

run() {
	echo "\$ dormant $*"
	dormant "$@"
}

echo "Two sites, hq and plant, each an emulated network. Both are on the loopback of this machine, where an"
echo "address is there once: so they differ here. In real networks two sites may use the same addresses."
background hq-lab lab --quiet --prefix 127.81.0.0/26 --ready-file hq.ready
background plant-lab lab --quiet --prefix 127.82.0.0/26 --ready-file plant.ready
await hq-lab test -e hq.ready
await plant-lab test -e plant.ready

echo
echo "The server: a job for both sites, and a port for agents."
cp "$here/demo-sites.yaml" sites.yaml
run server check sites.yaml
web=()
[ "${WEB:-}" != 1 ] || web=(--web 127.0.0.1:0)
background server server --config sites.yaml --state server --listen 127.0.0.1:0 "${web[@]}"
await server dormant server status --state server

echo
echo "An agent for each site, enrolled with a token that works once."
for place in hq/lan plant/floor; do
	site=${place%/*}
	echo "\$ dormant server token --state server --agent $site-1 --site $site --vantage ${place#*/} | dormant agent enroll - --credential $site-1"
	dormant server token --state server --agent "$site-1" --site "$site" --vantage "${place#*/}" |
		dormant agent enroll - --credential "$site-1"
done
background hq-1 agent --credential hq-1 --state hq-1.state
background plant-1 agent --credential plant-1 --state plant-1.state

echo
echo "The job, once, at both sites."
run server start audit --wait --state server

for site in hq plant; do
	id=$(dormant runs list --db server/history.db --format csv | tr -d '\r' | awk -F, -v site="$site" '$4 == site { print $1 }')
	echo
	echo "What answers at the site $site:"
	run report "$id" --db server/history.db
	cp "audit-$site.csv" "audit-$site.html" "$leave"
done

echo
run server status --state server
echo
echo "Written: audit-hq.csv, audit-hq.html, audit-plant.csv, audit-plant.html"
if [ "${WEB:-}" = 1 ]; then
	echo
	echo "The web page: $(sed -n 's/.* web page at=//p' server.log)   its token: $(cat server/web.token)"
	echo "Ctrl-C ends it."
	trap 'exit 0' INT
	while running server; do sleep 0.5; done
fi
