# gpucheck and cifar in a container: docs/gpu.md has the commands. No image of it
# has been built yet.
FROM golang:1.26.5-bookworm AS build
COPY . /src
RUN cd /src && go build -o /usr/local/bin/ ./cifar ./scripts/gpucheck

FROM debian:12.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/cifar /usr/local/bin/gpucheck /usr/local/bin/
# Fetches XLA's plugin for the CPU, and computes with it. That for GPUs (2.5 GB) comes at first use.
RUN gpucheck -quick -backend=xla:cpu -precision=f32 -out=/dev/null
WORKDIR /out
ENTRYPOINT ["gpucheck", "-first", "-backend=auto"]
