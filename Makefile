# make dist: static archives with checksums. Everything else is plain go.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TARGETS := linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64 windows-arm64

.PHONY: build test dist clean $(TARGETS:%=dist-%)
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

clean:
	rm -rf dist
