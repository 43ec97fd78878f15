#!/bin/sh
# Write GEN/<service>_embed.{c,h}: the files of <service>/schema and <service>/web, and of
# common/web, as C arrays.
# usage: embed.sh SERVICE GEN
set -eu
export LC_ALL=C
service=$1 gen=$2
id=$(printf %s "$service" | tr - _)

bytes() { # a NUL behind the end
    od -An -v -tu1 "$1" | sed 's/  */,/g; s/^,//; s/$/,/'
    echo 0
}

folder() { # SUBFOLDER: the table, and the arrays before it
    n=0 rows=
    for file in "$service/$1"/* "common/$1"/*; do
        [ -f "$file" ] || continue
        echo "static const unsigned char ${1}_${n}[] = {"
        bytes "$file"
        echo '};'
        rows="$rows    {\"${file##*/}\", ${1}_$n, sizeof(${1}_$n) - 1},
"
        n=$((n + 1))
    done
    [ $n -gt 0 ] || rows='    {NULL, NULL, 0},
'
    echo "static const struct embed_file ${1}_files[] = {"
    printf '%s' "$rows"
    echo '};'
    echo "const struct embed_folder ${id}_$1 = {${1}_files, $n};"
}

{
    echo "#include \"${service}_embed.h\""
    folder schema
    folder web
} >"$gen/${service}_embed.c.tmp"
{
    echo '#pragma once'
    echo '#include "embed.h"'
    echo "extern const struct embed_folder ${id}_schema, ${id}_web;"
} >"$gen/${service}_embed.h.tmp"
mv "$gen/${service}_embed.c.tmp" "$gen/${service}_embed.c"
mv "$gen/${service}_embed.h.tmp" "$gen/${service}_embed.h"
