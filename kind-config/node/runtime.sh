#!/bin/sh
# A slim Debian as a tar archive: the file system of kube-proxy and of Istio's proxy, and the start of
# the node. Runs in a mount and process namespace of its own, so that nothing stays mounted.
#   runtime.sh WORK SUITE PACKAGES(comma) DEBS(cache dir) OUT.tar
set -eu
work=$1 suite=$2 packages=$3 debs=$4 out=$5
root=$work/root
rm -rf "$root"
mkdir -p "$root" "$debs"
debootstrap --variant=minbase --include="$packages" --cache-dir="$debs" "$suite" "$root"

# Nobody reads manuals here; packages installed later leave them out, too.
cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'EOF'
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
EOF
for dir in doc man info locale lintian; do rm -rf "${root:?}/usr/share/$dir"; done
rm -rf "${root:?}"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/*
mkdir -p "$root/var/cache/apt/archives/partial"
umount "$root/proc" "$root/sys" 2>/dev/null || true
tar -C "$root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$out" .
rm -rf "$root"
