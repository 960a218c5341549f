# An image for the pods of cluster-kuberay.yaml: Ray, artylyze and what constraints.txt pins. From a checkout:
#   docker build --tag artylyze:0.1.0 .
#   docker build --tag artylyze:0.1.0-cuda --build-arg TORCH=cuda .
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

# cpu: PyTorch's own build for CPUs. cuda: PyPI's build, gigabytes larger, for nodes with a GPU.
ARG TORCH=cpu

# KubeRay's probes of a pod call wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/artylyze
COPY pyproject.toml constraints.txt ./
# Bytecode is compiled here, or every worker process compiles it again.
RUN pip install --no-cache-dir --constraint constraints.txt uv \
    && uv pip install --system --no-cache --compile-bytecode \
       $([ "$TORCH" = cuda ] || echo "--torch-backend=$TORCH") --constraint constraints.txt --requirements pyproject.toml

COPY . .
RUN uv pip install --system --no-cache --compile-bytecode --no-deps . \
    && useradd --uid 1000 --create-home ray

USER 1000
WORKDIR /home/ray
