# syntax=docker/dockerfile:1
# An artifact as an image, in /models. The context is the artifact's folder:
#
#   docker build -f deploy/model.Dockerfile -t REGISTRY/reviews:1 runs/reviews/artifact
#   docker build -f deploy/model.Dockerfile --target modelcar -t REGISTRY/reviews:1-modelcar runs/reviews/artifact
#
# The last stage is nothing but the files: a volume of Kubernetes (`image:`). KServe's modelcars (`oci://`) start a
# container from the image with a shell that links the folder, so they need the other one.

FROM docker.io/library/busybox:1.37-musl AS modelcar
COPY --chmod=755 . /models
USER 65532:65532

FROM scratch AS volume
LABEL org.opencontainers.image.title="LiteFT artifact"
COPY --chmod=755 . /models
