# make dist: static archives with checksums. Everything else is plain go.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TARGETS := linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64 windows-arm64

.PHONY: build test dist image image-root clean $(TARGETS:%=dist-%)
build:
	go build ./cmd/evhub

test:
	go test ./...

dist: $(TARGETS:%=dist-%)
	cd dist && { sha256sum *.tar.gz *.zip 2>/dev/null || shasum -a 256 *.tar.gz *.zip; } > SHA256SUMS
	@cat dist/SHA256SUMS

# One archive a target: the binary, README and LICENSE; zip for Windows.
$(TARGETS:%=dist-%): os = $(word 2,$(subst -, ,$@))
$(TARGETS:%=dist-%): arch = $(word 3,$(subst -, ,$@))
$(TARGETS:%=dist-%): name = evhub_$(VERSION)_$(os)_$(arch)
$(TARGETS:%=dist-%):
	rm -rf dist/$(name) && mkdir -p dist/$(name) && cp README.md LICENSE dist/$(name)/
	CGO_ENABLED=0 GOOS=$(os) GOARCH=$(arch) go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" \
		-o dist/$(name)/evhub$(if $(filter windows,$(os)),.exe) ./cmd/evhub
	cd dist && $(if $(filter windows,$(os)),python3 -m zipfile -c $(name).zip $(name)/,tar -czf $(name).tar.gz $(name)) && rm -rf $(name)

# The files of a container image, for Dockerfile and for builders without one: a static binary, certificate roots, and beside them /data, which
# is apart because it has another owner.
ROOTS := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
image-root:
	@test -n "$(ROOTS)" || { echo "no certificate roots found on this machine: install ca-certificates"; exit 1; }
	rm -rf dist/image dist/data && mkdir -p dist/image/etc/ssl/certs dist/image/tmp dist/data
	CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" -o dist/image/evhub ./cmd/evhub
	cp $(ROOTS) dist/image/etc/ssl/certs/ca-certificates.crt
	echo 'evhub:x:65532:65532::/data:/sbin/nologin' > dist/image/etc/passwd
	echo 'evhub:x:65532:' > dist/image/etc/group
	chmod 1777 dist/image/tmp

# The image, by buildah, which needs no daemon: dist/evhub-image.tar is for `docker load` and `podman load`, and is then called evhub:latest.
image: image-root
	buildah build --isolation chroot --format docker --build-context build=dist --label org.opencontainers.image.version=$(VERSION) -t evhub .
	rm -f dist/evhub-image.tar
	buildah push evhub docker-archive:dist/evhub-image.tar:evhub:latest

clean:
	rm -rf dist
