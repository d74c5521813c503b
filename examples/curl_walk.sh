#!/bin/sh
# The native door with nothing but curl: make a thread, ask, watch, leave, come back, read what is stored.
#
#   EVERTHREAD_URL=http://127.0.0.1:8080 EVERTHREAD_TOKEN=… sh examples/curl_walk.sh "Tell me about lighthouses."
set -eu
url=${EVERTHREAD_URL:-http://127.0.0.1:8080}
question=${1:-Tell me about lighthouses.}

# The token goes in by a file, so that it is on nobody's list of processes.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
printf 'authorization: Bearer %s\ncontent-type: application/json\n' "$EVERTHREAD_TOKEN" >"$headers"

call() { curl --silent --show-error --fail-with-body --header "@$headers" "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
body() { python3 -c 'import json, sys; print(json.dumps({sys.argv[1]: sys.argv[2]}))' "$1" "$2"; }

thread=$(call "$url/v1/threads" --data "$(body title 'A walk with curl')" | field id)
run=$(call "$url/v1/threads/$thread/messages" --data "$(body content "$question")" | field run_id)
echo "accepted: $run"

# The first events, then the connection is closed: the answer is written all the same.
first=$(call --no-buffer "$url/v1/runs/$run/events" 2>/dev/null | sed '/^event: text.delta/q')
cursor=$(printf '%s\n' "$first" | sed -n 's/^id: //p' | tail -n 1)
echo "left after event $cursor"

# Everything after the last event that was seen, to the end of the run.
call --no-buffer "$url/v1/runs/$run/events" --header "last-event-id: $cursor" | sed -n 's/^event: //p' | sort | uniq -c

# What is stored, once the run's end has been recorded.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  stored=$(call "$url/v1/threads/$thread/messages")
  case $stored in *'"status":"generating"'* | *'"status":"pending"'*) sleep 0.5 ;; *) break ;; esac
done
printf '%s' "$stored" | python3 -c 'import json, sys; print(json.load(sys.stdin)["items"][-1]["content"])'
