#!/bin/bash
# Prints the first plain Debian archive among apt's sources, in either of their two formats, or what FERROVS_MIRROR names.
# Prints nothing if there is none.
set -u
mirror() {
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$f" ] && awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; break } }' "$f"
    done
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -f "$f" ] && awk '$1 == "URIs:" { for (i = 2; i <= NF; i++) print $i }' "$f"
    done
}
echo "${FERROVS_MIRROR:-$(mirror | sed 's,/*$,,' | grep -E '/debian$' | head -n 1)}"
