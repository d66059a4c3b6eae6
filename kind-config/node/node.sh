#!/bin/sh
# The node's file system without Kubernetes, as a tar archive: the slim Debian, the packages a node
# needs, and kind's own base files laid over it as kind's Dockerfile does.
# Runs in a mount and process namespace of its own.
#   node.sh WORK RUNTIME.tar PACKAGES(space) KIND_BASE(files of kind's module) DEBS(cache dir) OUT.tar
set -eu
work=$1 runtime=$2 packages=$3 base=$4 debs=$5 out=$6
root=$work/root
rm -rf "$root"
mkdir -p "$root" "$debs/partial"
tar -C "$root" -xf "$runtime"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mkdir -p "$root/var/cache/apt/archives"
mount --bind "$debs" "$root/var/cache/apt/archives"
cp "$root/etc/resolv.conf" "$work/resolv.conf.kept" 2>/dev/null || : >"$work/resolv.conf.kept"
cp /etc/resolv.conf "$root/etc/resolv.conf"

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
in_root() { chroot "$root" "$@"; }
in_root apt-get -q update
# shellcheck disable=SC2086 # a list of packages
in_root apt-get -q install -y --no-install-recommends -o APT::Keep-Downloaded-Packages=true $packages

# kind's base files, with the modes of its Dockerfile.
copy() { mkdir -p "$root/$(dirname "$2")"; install -m "$1" "$base/$2" "$root/$2"; }
(cd "$base" && find . -type f) | sed 's|^\./||' | while read -r file; do
  case $file in
    usr/local/bin/*|kind/bin/*) copy 0755 "$file" ;;
    LICENSES/*) ;;
    *) copy 0644 "$file" ;;
  esac
done
chmod 755 "$root/kind" "$root/kind/bin"

# As in kind's Dockerfile: only what a node needs starts at boot.
find "$root/lib/systemd/system/sysinit.target.wants/" -name systemd-tmpfiles-setup.service -delete
rm -f "$root"/lib/systemd/system/multi-user.target.wants/* "$root"/etc/systemd/system/*.wants/* \
  "$root"/lib/systemd/system/local-fs.target.wants/* "$root"/lib/systemd/system/sockets.target.wants/*udev* \
  "$root"/lib/systemd/system/sockets.target.wants/*initctl* "$root"/lib/systemd/system/basic.target.wants/*
echo ReadKMsg=no >>"$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"
in_root systemctl enable kubelet.service containerd.service undo-mount-hacks.service
# It would register things with the kernel all containers share.
in_root systemctl mask systemd-binfmt.service
mkdir -p "$root/etc/kubernetes/manifests"

# kind expects these where its own image has them.
ln -sf /usr/bin/containerd "$root/usr/local/bin/containerd"
ln -sf /usr/bin/ctr "$root/usr/local/bin/ctr"
mkdir -p "$root/opt/cni/bin"
for plugin in bridge ptp host-local loopback portmap; do mv "$root/usr/lib/cni/$plugin" "$root/opt/cni/bin/"; done
rm -rf "$root/usr/lib/cni"
in_root ctr oci spec |
  in_root jq '.hooks.createContainer[.hooks.createContainer|length] |= . + {"path": "/kind/bin/mount-product-files.sh"} | del(.process.rlimits)' \
    >"$work/cri-base.json"
mv "$work/cri-base.json" "$root/etc/containerd/cri-base.json"

# A host without CAP_SYS_RESOURCE cannot lower oom scores: containerd is told so at boot, there only.
cat >"$root/kind/bin/adapt-to-capabilities.sh" <<'EOF'
#!/bin/sh
bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
if [ $((0x$bounding >> 24 & 1)) -eq 0 ]; then
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
fi
EOF
chmod 755 "$root/kind/bin/adapt-to-capabilities.sh"
mkdir -p "$root/etc/systemd/system/containerd.service.d"
printf '[Service]\nExecStartPre=/kind/bin/adapt-to-capabilities.sh\n' \
  >"$root/etc/systemd/system/containerd.service.d/10-capabilities.conf"

cp "$work/resolv.conf.kept" "$root/etc/resolv.conf"
umount "$root/var/cache/apt/archives" "$root/dev" "$root/run" "$root/proc"
# Docker copies /var at every start of a node: keep it small.
rm -rf "${root:?}"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/* "$root"/var/lib/dpkg/info/*.md5sums
for dir in doc man info locale lintian; do rm -rf "${root:?}/usr/share/$dir"; done
tar -C "$root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$out" .
umount "$root"
rm -rf "$root"
