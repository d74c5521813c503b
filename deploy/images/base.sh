#!/usr/bin/env bash
# A base image from Debian's own packages, for where no image can be pulled: deploy/images/base.sh [TAG]
# Needs root, debootstrap and a Docker engine. What it holds: Debian's smallest system, Python 3.11, and this machine's
# certificate authorities (a company's own included), so that packages can be fetched at build time. DEBIAN_MIRROR names
# another mirror than debootstrap's own.
set -euo pipefail
tag=${1:-everthread/base:bookworm}
mirror=${DEBIAN_MIRROR:-}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" ${mirror:+"$mirror"} >&2
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
tar --numeric-owner -C "$root" -c . | docker import --change 'CMD ["sh"]' --message "debootstrap bookworm" - "$tag" >&2
echo "$tag"
