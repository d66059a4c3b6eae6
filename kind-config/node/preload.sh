#!/bin/sh
# The finished node as a tar archive: Kubernetes' programs and the images of its components, already
# unpacked. Runs in a mount and process namespace of its own.
#
# The unpacked layers live under /kind/preload and containerd's snapshots are links to them: Docker
# copies the image's whole /var into a volume at every start of a node, and these would cost seconds.
#   preload.sh WORK NODE.tar BINARIES(dir) IMAGES.tar PAUSE(reference) VERSION LAYERS(file of digests) OUT.tar
set -eu
work=$1 node=$2 binaries=$3 images=$4 pause=$5 version=$6 layers=$7 out=$8
root=$work/root
rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$node"
for program in kubeadm kubelet kubectl; do install -m 755 "$binaries/$program" "$root/usr/bin/$program"; done
printf %s "$version" >"$root/kind/version"
sed -i "s|sandbox_image = .*|sandbox_image = \"$pause\"|" "$root/etc/containerd/config.toml"

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mkdir -p "$root/mnt/in"
mount --bind "$(dirname "$images")" "$root/mnt/in"
cat >"$root/run/containerd.toml" <<'EOF'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
EOF
chroot "$root" containerd --config /run/containerd.toml &
containerd=$!
tries=0
until chroot "$root" ctr version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { echo "containerd did not answer within 30 s" >&2; exit 1; }
  kill -0 "$containerd" || { echo "containerd ended" >&2; exit 1; }
  sleep 0.1
done
chroot "$root" ctr -n k8s.io images import --snapshotter overlayfs "/mnt/in/$(basename "$images")"
# The unpacked layers stay; their archives are not needed again.
while read -r digest; do chroot "$root" ctr -n k8s.io content rm "$digest" >/dev/null; done <"$layers"
chroot "$root" ctr -n k8s.io images ls -q
kill "$containerd"
wait "$containerd" || true
# containerd deletes what it forgot when it next has time, which is too late here.
blobs=$root/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256
while read -r digest; do rm -f "$blobs/${digest#sha256:}"; done <"$layers"

snapshots=$root/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots
mkdir -p "$root/kind/preload"
for snapshot in "$snapshots"/*; do
  id=$(basename "$snapshot")
  mv "$snapshot/fs" "$root/kind/preload/$id"
  ln -s "/kind/preload/$id" "$snapshot/fs"
done

umount "$root/mnt/in" "$root/dev" "$root/tmp" "$root/run" "$root/proc"
rmdir "$root/mnt/in"
rm -rf "$root/var/lib/containerd/tmpmounts"
tar -C "$root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$out" .
umount "$root"
rm -rf "$root"
