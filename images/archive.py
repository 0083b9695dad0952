#!/usr/bin/env python3
"""Packs a directory as a container image of one layer, in the format of `docker save`.

Docker, containerd, podman and kind load it. The same tree gives the same bytes: files are sorted, times are zero, and
nothing is compressed, so that no version of a compressor can change a digest.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile

EPOCH = "1970-01-01T00:00:00Z"
DEFAULT_CONFIG = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_archive(out, root, names, config, keep_owners=False):
    """Writes the image of the tree `root` to the file `out` and returns its id, `sha256:...`.

    `config` is the `config` object of an OCI image configuration; PATH is set without it. All files belong to root unless `keep_owners`.
    """
    folder = os.path.dirname(os.path.abspath(out))
    with tempfile.TemporaryFile(dir=folder) as layer:
        write_layer(layer, root, keep_owners)
        layer_size = layer.tell()
        layer.seek(0)
        description = json.dumps(
            {
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "created": EPOCH,
                "config": DEFAULT_CONFIG | config,
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256_of(layer)]},
                "history": [{"created": EPOCH, "created_by": "images/archive.py"}],
            },
            sort_keys=True,
        ).encode()
        layer.seek(0)
        image_id = hashlib.sha256(description).hexdigest()
        manifest = json.dumps([{"Config": f"{image_id}.json", "RepoTags": names, "Layers": ["layer.tar"]}]).encode()
        # Renamed into place when it is whole.
        with tarfile.open(out + ".part", "w") as archive:
            add_file(archive, f"{image_id}.json", io.BytesIO(description), len(description))
            add_file(archive, "layer.tar", layer, layer_size)
            add_file(archive, "manifest.json", io.BytesIO(manifest), len(manifest))
        os.replace(out + ".part", out)
    return "sha256:" + image_id


def write_layer(file, root, keep_owners):
    def reproducible(entry):
        entry.mtime = 0
        entry.uname = entry.gname = ""
        if not keep_owners:
            entry.uid = entry.gid = 0
        return entry

    with tarfile.open(fileobj=file, mode="w") as layer:
        for name in sorted(os.listdir(root)):
            layer.add(os.path.join(root, name), name, filter=reproducible)


def sha256_of(file):
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def add_file(archive, name, file, size):
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="the archive to write")
    parser.add_argument("root", help="the directory that becomes the image's root")
    parser.add_argument("name", nargs="+", help="name:tag")
    parser.add_argument("--config", type=json.loads, default={}, help="the OCI image configuration's `config`, as JSON")
    parser.add_argument("--keep-owners", action="store_true", help="keep the files' owners instead of root")
    arguments = parser.parse_args()
    image_id = write_archive(arguments.out, arguments.root, arguments.name, arguments.config, arguments.keep_owners)
    print(image_id, *arguments.name)


if __name__ == "__main__":
    main()
