# Shared by the lab's scripts: where the cache is, how it speaks, how it asks the Debian archive. Sourced, not run.
# shellcheck shell=bash

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this file
repo=$(cd "$lab/../.." && pwd)
# shellcheck disable=SC2034
cache=${KILN_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kiln}

say() { printf 'lab: %s\n' "$*" >&2; }

# 125 is also kiln's own exit status for "could not even start".
die() {
    printf 'lab: error: %s\n' "$*" >&2
    exit 125
}

# Writes an apt source file for Debian 12's suites to standard output. The archive's address and key are taken from this machine's own
# sources, so whatever mirror it uses is used here too. Arguments: the suites wanted.
debian_sources() {
    local file files=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do [ ! -r "$file" ] || files+=("$file"); done
    # The archive is recognised by its main component in the suite named like the installed release (`bookworm`, not `bookworm-pgdg`).
    awk -v codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" -v suites="$*" '
        function emit(uri, key) {
            if (found || uri == "") return
            found = 1
            print "Types: deb\nURIs: " uri "\nSuites: " suites "\nComponents: main"
            print "Signed-By: " (key != "" ? key : "/usr/share/keyrings/debian-archive-keyring.gpg")
        }
        function stanza() {
            if (types ~ /(^| )deb( |$)/ && (" " names " ") ~ (" " codename " ") && (" " components " ") ~ / main / && enabled != "no") emit(uri, key)
            types = names = components = uri = key = enabled = ""
        }
        FNR == 1 { stanza(); stanzas = FILENAME ~ /\.sources$/ }
        /^[ \t]*#/ { next }
        stanzas && /^[ \t]*$/ { stanza(); next }
        stanzas {
            value = $0; sub(/^[^:]*:[ \t]*/, "", value)
            field = tolower($1)
            if (field == "types:") types = value
            if (field == "uris:") uri = $2
            if (field == "suites:") names = value
            if (field == "components:") components = value
            if (field == "signed-by:") key = value
            if (field == "enabled:") enabled = value
            next
        }
        $1 == "deb" {
            options = key = ""
            if (match($0, /\[[^]]*\]/)) { options = substr($0, RSTART + 1, RLENGTH - 2); sub(/\[[^]]*\]/, "") }
            if (match(options, /signed-by=[^ ]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
            if ($3 == codename && $4 == "main") emit($2, key)
        }
        END { stanza(); exit !found }
    ' /dev/null ${files[@]+"${files[@]}"} || die "no Debian archive among this machine's apt sources (/etc/apt/sources.list*); the lab takes its kernels from there"
}
