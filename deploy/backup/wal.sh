#!/bin/sh
# The restore_command of moment.sh: puts the segment $2 of the archive $1 at $3. The last one is not
# full yet; what follows its records is empty.
set -eu
if [ -f "$1/$2.gz" ]; then
  exec gzip -dc <"$1/$2.gz" >"$3"
fi
for path in "$1/$2" "$1/$2.partial"; do
  [ ! -f "$path" ] || exec cp "$path" "$3"
done
exit 1
