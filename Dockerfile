# An image with what `make dist` has built. Nothing is built here. VERSION is the one in
# the names of the files in dist/, which is the build context:
#
#   make dist
#   docker build -f Dockerfile --build-arg VERSION=v1.2.3 -t mosn-tcpcopy:v1.2.3 dist
#
# BuildKit, buildah and podman set TARGETARCH, to amd64 or arm64. Docker's older builder
# needs --build-arg TARGETARCH=amd64. docs/operations.md says how to run the image.
FROM scratch

ARG VERSION
ARG TARGETARCH

# The programs belong to root, so that the process cannot replace them. The home folder
# is empty and the process's own: logs, recordings and MOSN's sockets are below it.
COPY mosn-${VERSION}-linux-${TARGETARCH} /usr/local/bin/mosn
COPY tcpcopyctl-${VERSION}-linux-${TARGETARCH} /usr/local/bin/tcpcopyctl
COPY --chown=65532:65532 home/admin /home/admin

ENV PATH=/usr/local/bin HOME=/home/admin
USER 65532:65532
WORKDIR /home/admin
ENTRYPOINT ["/usr/local/bin/mosn"]
CMD ["start", "-c", "/home/admin/mosn/conf/mosn.json"]
