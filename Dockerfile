# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags '-s -w' -o /belfry ./cmd/belfry

# Nothing but the program, the certificates of the providers it calls, and the
# time zones that schedules name. No shell, no package manager, no root.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /usr/share/zoneinfo.zip
COPY --from=build /belfry /belfry
ENV ZONEINFO=/usr/share/zoneinfo.zip
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/belfry"]
CMD ["serve"]
