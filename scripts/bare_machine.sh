#!/usr/bin/env bash
# make demo and make test on a bare machine: a root file system of Debian with Python, venv, make, git and certificates,
# and nothing else. Needs root and debootstrap. Mirror, certificates and pip's configuration are those of this machine.
#
#     scripts/bare_machine.sh FOLDER [demo] [test]      both by default; results as FOLDER/result.json
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:?a folder for the file system}")
shift
commands=("${@:-}")
[ -n "${commands[0]}" ] || commands=(demo test)
root=$folder/root
mkdir -p "$folder"

# The first entry of apt's sources, old style or new.
read -r mirror suite < <(
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Component: main' | grep -iE '/debian/? ' |
        grep -v -- '-updates\|-security\|-backports' | head -n 1
)

mounted=()
finish() {
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount -l "${mounted[i]}" || true; done
}
trap finish EXIT
mount_in() { # SOURCE PATH [OPTIONS]: bind SOURCE read-only, or mount a kernel file system
    mkdir -p "$root$2"
    mount "${@:3}" "$1" "$root$2"
    mounted+=("$root$2")
}

if [ ! -e "$folder/.built" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates "$suite" "$root" "$mirror" \
        > "$folder/debootstrap.log"
    touch "$folder/.built"
fi

# This machine's network configuration, certificates, apt sources and pip configuration.
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
    [ ! -e "$file" ] || install -D -m 644 "$(realpath "$file")" "$root$file"
done
for part in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d /etc/xdg/pip; do
    [ ! -e "$part" ] || { mkdir -p "$root$(dirname "$part")" && cp -rL "$part" "$root$(dirname "$part")/"; }
done
mount_in proc /proc -t proc
mount_in sysfs /sys -t sysfs -o ro
mount_in devpts /dev/pts -t devpts
mount_in tmpfs /dev/shm -t tmpfs
mount_in tmpfs /run -t tmpfs
# Local package folders that pip reads.
for path in $(python3 -m pip config list | grep -oE '(file://)?/[^ '"'"']+' | sed -E 's,^file://,,'); do
    if [ -d "$path" ]; then mount_in "$path" "$path" --bind -o ro; fi
done
variables=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
while IFS= read -r line; do variables+=("$line"); done < <(env | grep -iE '^(pip_|ssl_|requests_ca|curl_ca|https?_proxy|no_proxy)')

rm -rf "$root/srv/segue"
git clone --quiet --no-hardlinks . "$root/srv/segue"
inside() { chroot "$root" env -i "${variables[@]}" bash -c "cd /srv/segue && $1"; }
megabytes() { if [ -e "$1" ]; then du -s --block-size=1M "$1" | cut -f1; else echo null; fi; }

{
    echo "{\"suite\": \"$suite\", \"commit\": \"$(git rev-parse --short HEAD)\", \"load_before\": $(cut -d' ' -f1 /proc/loadavg),"
    for command in "${commands[@]}"; do
        begin=$(date +%s.%N)
        if [ "$command" = demo ]; then inside 'make demo/.venv/.installed' >> "$folder/demo.log" 2>&1 || true; fi
        installed=$(date +%s.%N)
        code=0
        inside "make $command" >> "$folder/$command.log" 2>&1 || code=$?
        end=$(date +%s.%N)
        echo "\"$command\": {\"exit_code\": $code, \"seconds\": $(awk "BEGIN {print int($end - $begin)}"),"
        [ "$command" != demo ] || echo "\"install_seconds\": $(awk "BEGIN {print int($installed - $begin)}"),"
        last=$(grep -E '^=+ .* in [0-9.]+s|NDCG' "$folder/$command.log" | tail -n 1 | tr -d '"=' || true)
        echo "\"last_line\": \"$last\"},"
    done
    echo "\"demo_environment_megabytes\": $(megabytes "$root/srv/segue/demo/.venv"),"
    echo "\"environment_megabytes\": $(megabytes "$root/srv/segue/.venv"),"
    echo "\"root_megabytes\": $(du -sx --block-size=1M "$root" | cut -f1)}"
} > "$folder/result.json"
cat "$folder/result.json"
grep -q '"exit_code": [1-9]' "$folder/result.json" && exit 1 || exit 0
