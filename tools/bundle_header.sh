#!/bin/sh
# sidenet @VERSION@ in one file: this script, and behind it an archive of Deno, the sources and their packages. The first start unpacks it
# into $SIDENET_CACHE, $XDG_CACHE_HOME/sidenet, ~/.cache/sidenet, or where none of these can be written a folder of yours in /tmp.
set -eu
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH

self=$0
case $self in */*) ;; *) self=$(command -v -- "$self") ;; esac

# What is unpacked is yours alone; what a verb writes follows your own mask.
mask=$(umask)
umask 077
usable() { [ -n "$1" ] && mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }
cache=
for place in "${SIDENET_CACHE:-}" "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/sidenet}" "${HOME:+$HOME/.cache/sidenet}"; do
  if usable "$place"; then
    cache=$place
    break
  fi
done
if [ -z "$cache" ]; then
  cache=${TMPDIR:-/tmp}/sidenet-$(id -u)
  mkdir -m 700 "$cache" 2>/dev/null || true
  # Somebody else may own that name in a shared folder.
  if [ -z "$(find "$cache" -maxdepth 0 -type d -user "$(id -u)" -perm 700 2>/dev/null)" ]; then
    echo "sidenet: cannot unpack: $cache must be a folder of yours; set SIDENET_CACHE to another" >&2
    exit 1
  fi
fi

home=$cache/bundle-@KEY@
if [ ! -e "$home/deno" ]; then
  echo "sidenet: unpacking into $home, once" >&2
  # What starts left that were killed meanwhile; those of other machines may go on.
  for partial in "$cache/unpacking.$(uname -n)."*; do
    number=${partial##*.}
    if [ "$number" = $$ ] || ! kill -0 "$number" 2>/dev/null; then rm -rf "$partial"; fi
  done
  partial=$cache/unpacking.$(uname -n).$$
  mkdir "$partial"
  trap 'rm -rf "$partial"' EXIT
  trap 'exit 130' INT TERM
  tail -n +@SKIP@ "$self" | gzip -dc | tar -x -f - -C "$partial"
  # Another start may have been quicker; its copy is as good.
  if [ -e "$home" ] || ! mv "$partial" "$home" 2>/dev/null; then rm -rf "$partial"; fi
  trap - EXIT INT TERM
fi

DENO_DIR=$home/cache
DENO_NO_UPDATE_CHECK=1
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
  # The Vulkan loader complains at every start when there is none.
  XDG_RUNTIME_DIR=$home/run
  mkdir -p "$XDG_RUNTIME_DIR"
  export XDG_RUNTIME_DIR
fi
export DENO_DIR DENO_NO_UPDATE_CHECK
umask "$mask"
permissions=verbs
if [ "${1:-}" = bench ]; then permissions=bench; fi
exec "$home/deno" run -q -P=$permissions --config "$home/deno.json" --node-modules-dir=manual --no-lock --no-remote --no-prompt \
  "$home/cli/main.ts" "$@"
exit 1
# The archive begins on the next line.
