#!/usr/bin/env bash
# Makes the environments that `python -m benchmarks --environments FOLDER` runs peers from: this package with the peers
# that live beside it, and one for each peer that does not. About 9 GB; Python 3.11, which GluonCV's numpy is the last for.
#
#     benchmarks/environments.sh FOLDER && FOLDER/main/bin/python -m benchmarks --environments FOLDER
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
cd "$1"

make() { # NAME REQUIREMENT...
    python3 -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check "${@:2}"
}

# YOLOX asks for versions that are gone: what its MixUp imports is enough.
make main "$root" torch torchvision ultralytics kornia \
    loguru psutil pycocotools setuptools tabulate tensorboard thop tqdm wheel
main/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation yolox==0.3.0
make albumentations-1.4.15 albumentations==1.4.15 albucore==0.0.16
make gluoncv gluoncv==0.10.5.post0 mxnet==1.9.1 numpy==1.23.5
make mmdet mmdet==3.3.0 mmcv-lite==2.1.0 mmengine torch
