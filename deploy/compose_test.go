package deploy_test

import (
	"encoding/json"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

type composeFile struct {
	Services map[string]composeService
}

type composeService struct {
	Image       string
	Profiles    []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	NetworkMode string `yaml:"network_mode"`
	Healthcheck struct{ Test []string }
}

func compose(t *testing.T, file string) map[string]composeService {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal(read(t, file), &c); err != nil {
		t.Fatal(err)
	}
	return c.Services
}

// mounts tells whether a service has a file of the host at a path of its own.
func (s composeService) mounts(at string) (file string, ok bool) {
	for _, volume := range s.Volumes {
		volume = strings.TrimSuffix(volume, ":ro")
		if file, ok := strings.CutSuffix(volume, ":"+at); ok {
			return file, true
		}
	}
	return "", false
}

// inside are the container's ports that a service publishes.
func (s composeService) inside() []string {
	var ports []string
	for _, p := range s.Ports {
		ports = append(ports, p[strings.LastIndex(p, ":")+1:])
	}
	return ports
}

// checks is the command that a service's health is asked by, which the image has no shell for.
func (s composeService) checks() string {
	command, _ := strings.CutPrefix(strings.Join(s.Healthcheck.Test, " "), "CMD ")
	return command
}

// TestComposeIsOneService: without a profile there is one service, and only this machine reaches it.
func TestComposeIsOneService(t *testing.T) {
	t.Parallel()
	services := compose(t, "../compose.yaml")
	for name, s := range services {
		if len(s.Profiles) == 0 != (name == "eventhubs") {
			t.Errorf("%s has the profiles %v", name, s.Profiles)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s, where a public key opens everything", name, p)
			}
		}
	}
	hub := services["eventhubs"]
	if got := hub.inside(); !slices.Equal(got, []string{"5672", "5300", "8080"}) || hub.Environment["EVHUB_DEV"] != "1" || hub.Command != nil {
		t.Errorf("publishes %v, environment %v, command %v", got, hub.Environment, hub.Command)
	}
	if file, ok := hub.mounts(config.OfficialPath); !ok || file != "${CONFIG_PATH:-./deploy/Config.json}" {
		t.Errorf("mounts %v, and Config.json is looked for at %s", hub.Volumes, config.OfficialPath)
	}
	c, err := config.Load("Config.json")
	if err != nil || len(c.Warnings) > 0 || c.Namespaces[0].Hubs[0].Name != "eh1" {
		t.Errorf("Config.json: %v, %v", err, c)
	}
}

// TestComposeOfficial: the service before the official emulator shares its network, with which 127.0.0.1 is the emulator, and each port that
// is asked for is one that somebody listens on.
func TestComposeOfficial(t *testing.T) {
	t.Parallel()
	services := compose(t, "../compose.yaml")
	gateway, issuer, emulator := services["gateway"], services["issuer"], services["emulator"]
	if gateway.NetworkMode != "service:emulator" || issuer.NetworkMode != gateway.NetworkMode || len(gateway.Ports)+len(issuer.Ports) > 0 {
		t.Errorf("gateway %q, issuer %q; what shares a network publishes nothing itself", gateway.NetworkMode, issuer.NetworkMode)
	}
	file, ok := gateway.mounts(gateway.Command[2])
	if !ok || gateway.Command[0] != "gateway" || gateway.Command[1] != "--config" || path.Dir(file) != "deploy" {
		t.Fatalf("gateway runs %v and mounts %v", gateway.Command, gateway.Volumes)
	}
	c, err := gatewayfile.Parse(file, read(t, path.Base(file)))
	if err != nil || len(c.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, c)
	}
	if host, port, _ := net.SplitHostPort(c.Listeners.API.Address); host != "0.0.0.0" || !slices.Contains(emulator.inside(), port) {
		t.Errorf("the api listens on %s, the emulator publishes %v", c.Listeners.API.Address, emulator.Ports)
	}
	if want := "/evhub health http://" + c.Listeners.Probes.Address + "/readyz"; gateway.checks() != want {
		t.Errorf("health check %q, want %s", gateway.checks(), want)
	}
	if at := c.Targets["emulator"].Broker.Address; at != "127.0.0.1:5672" || !slices.Contains(emulator.inside(), "5672") {
		t.Errorf("the target is %s", at)
	}
	if url := flagOf(issuer.Command, "--listen-api"); c.Issuers[0].URL != "http://"+url+"/issuer" {
		t.Errorf("the issuer is at %s, and %s is trusted", url, c.Issuers[0].URL)
	}
	if want := "/evhub health http://" + flagOf(issuer.Command, "--listen-admin"); issuer.checks() != want {
		t.Errorf("health check %q, want %s", issuer.checks(), want)
	}
	if flagOf(issuer.Command, "--listen-amqp") == "127.0.0.1:5672" {
		t.Error("the issuer's broker takes the emulator's port")
	}
}

func flagOf(command []string, flag string) string {
	if n := slices.Index(command, flag); n >= 0 && n+1 < len(command) {
		return command[n+1]
	}
	return ""
}

// TestEmulatorCompose: what the official file gives the emulator is what the image takes.
func TestEmulatorCompose(t *testing.T) {
	t.Parallel()
	services := compose(t, "emulator-compose.yaml")
	emulator := services["emulator"]
	if len(services) != 2 || services["azurite"].Image == "" || emulator.Image != "evhub:latest" || emulator.Command != nil {
		t.Errorf("%d services, image %s, command %v", len(services), emulator.Image, emulator.Command)
	}
	if file, ok := emulator.mounts(config.OfficialPath); !ok || file != "${CONFIG_PATH}" {
		t.Errorf("mounts %v", emulator.Volumes)
	}
	for _, name := range []string{"ACCEPT_EULA", "BLOB_SERVER", "METADATA_SERVER"} {
		if emulator.Environment[name] == "" {
			t.Errorf("the official file sets %s", name)
		}
	}
}

// TestImageDefaults: the default command listens, on all addresses, on the ports that the image exposes and compose.yaml publishes.
func TestImageDefaults(t *testing.T) {
	t.Parallel()
	file := string(read(t, "../Dockerfile"))
	var command []string
	if err := json.Unmarshal([]byte(regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(file)[1]), &command); err != nil {
		t.Fatal(err)
	}
	exposed := strings.Fields(regexp.MustCompile(`(?m)^EXPOSE (.*)$`).FindStringSubmatch(file)[1])
	var listens []string
	for n, word := range command {
		if strings.HasPrefix(word, "--listen-") {
			host, port, err := net.SplitHostPort(command[n+1])
			if err != nil || host != "0.0.0.0" {
				t.Errorf("%s %s cannot be reached from outside of its container", word, command[n+1])
			}
			listens = append(listens, port)
		}
	}
	published := compose(t, "../compose.yaml")["eventhubs"].inside()
	for _, ports := range [][]string{exposed, listens, published} {
		slices.Sort(ports)
	}
	if command[0] != "serve" || !slices.Equal(exposed, listens) || !slices.Equal(published, listens) {
		t.Errorf("%s listens on %v, the image exposes %v, compose.yaml publishes %v", command[0], listens, exposed, published)
	}
	for _, line := range []string{"USER 65532:65532", "ENV EVHUB_DEV=1", `HEALTHCHECK .* CMD \["/evhub", "health"\]`} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(file) {
			t.Errorf("the Dockerfile has no line %s", line)
		}
	}
}
