#!/bin/sh
# Test the alerts with promtool, which comes with Prometheus (Debian package `prometheus`); installed here where that is allowed.
set -eu
cd "$(dirname "$0")"
if ! command -v promtool >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null
    else
        echo "promtool is not installed, and the alerts cannot be tested without it; install Prometheus (Debian: apt-get install prometheus) and try again" >&2
        exit 1
    fi
fi
promtool check rules rules/*.yaml
promtool test rules tests/*.yaml
