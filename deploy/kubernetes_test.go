package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

// The parts of Kubernetes' objects that the tests look at.
type (
	object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct {
			Name        string
			Labels      map[string]string
			Annotations map[string]string
		}
		Data map[string]string
		Spec spec
	}
	spec struct { // of all kinds together
		Replicas    int
		Selector    map[string]any
		PodSelector selector `yaml:"podSelector"`
		Strategy    struct {
			RollingUpdate map[string]int `yaml:"rollingUpdate"`
		}
		Template struct {
			Metadata struct {
				Labels      map[string]string
				Annotations map[string]string
			}
			Spec podSpec
		}
		Ports        []servicePort
		MinAvailable int      `yaml:"minAvailable"`
		PolicyTypes  []string `yaml:"policyTypes"`
		Ingress      []flow
		Egress       []flow
	}
	selector struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	servicePort struct {
		Name       string
		Port       int
		TargetPort string `yaml:"targetPort"`
	}
	flow struct {
		From, To []struct {
			NamespaceSelector selector `yaml:"namespaceSelector"`
		}
		Ports []struct {
			Protocol string
			Port     any
		}
	}
	podSpec struct {
		ServiceAccountName            string `yaml:"serviceAccountName"`
		AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
		TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot bool `yaml:"runAsNonRoot"`
			RunAsUser    int  `yaml:"runAsUser"`
			RunAsGroup   int  `yaml:"runAsGroup"`
		} `yaml:"securityContext"`
		Containers []container
		Volumes    []struct {
			Name      string
			ConfigMap struct{ Name string } `yaml:"configMap"`
		}
	}
	container struct {
		Image string
		Args  []string
		Env   []struct{ Name, Value string }
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		LivenessProbe   probe `yaml:"livenessProbe"`
		ReadinessProbe  probe `yaml:"readinessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		PeriodSeconds    int                         `yaml:"periodSeconds"`
		FailureThreshold int                         `yaml:"failureThreshold"`
	}
)

const workload = "evhub-gateway" // what all objects are called

// cluster gives the objects of kubernetes.yaml by kind, of which it has one each.
func cluster(t *testing.T) map[string]object {
	t.Helper()
	data, err := os.ReadFile("kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	for documents := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var o object
		err := documents.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := objects[o.Kind]; twice || o.Kind == "" {
			t.Fatalf("kubernetes.yaml has two objects of kind %q", o.Kind)
		}
		objects[o.Kind] = o
	}
}

// clusterConfig is gateway.yaml in the ConfigMap.
func clusterConfig(t *testing.T) *gatewayfile.Config {
	t.Helper()
	c, err := gatewayfile.Parse("gateway.yaml", []byte(cluster(t)["ConfigMap"].Data["gateway.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClusterHasItsObjects(t *testing.T) {
	t.Parallel()
	versions := map[string]string{
		"ServiceAccount": "v1", "ConfigMap": "v1", "Deployment": "apps/v1", "Service": "v1", "PodDisruptionBudget": "policy/v1",
		"NetworkPolicy": "networking.k8s.io/v1",
	}
	objects := cluster(t)
	for kind, version := range versions {
		got := objects[kind]
		if about := got.Metadata; got.APIVersion != version || about.Name != workload || about.Labels["app.kubernetes.io/name"] != workload {
			t.Errorf("%s: %s %q, labels %v", kind, got.APIVersion, about.Name, about.Labels)
		}
	}
	if len(objects) != len(versions) {
		t.Errorf("%d objects, of which %d are known here", len(objects), len(versions))
	}
}

func TestClusterConfigHasNoWarnings(t *testing.T) {
	t.Parallel()
	for _, w := range clusterConfig(t).Warnings {
		t.Error(w)
	}
}

// TestClusterSelectors: what does not select the pods has no effect and no error.
func TestClusterSelectors(t *testing.T) {
	t.Parallel()
	objects := cluster(t)
	pods := objects["Deployment"].Spec.Template.Metadata.Labels
	match := func(from string, labels map[string]string) {
		if len(labels) == 0 {
			t.Errorf("%s selects everything", from)
		}
		for name, value := range labels {
			if pods[name] != value {
				t.Errorf("%s wants %s=%s, pods have %q", from, name, value, pods[name])
			}
		}
	}
	for _, kind := range []string{"Deployment", "PodDisruptionBudget"} {
		match(kind, texts(objects[kind].Spec.Selector["matchLabels"]))
	}
	match("Service", texts(objects["Service"].Spec.Selector))
	match("NetworkPolicy", objects["NetworkPolicy"].Spec.PodSelector.MatchLabels)
	if pods["azure.workload.identity/use"] != "true" {
		t.Error("without its label a pod gets no workload identity")
	}
	if objects["ServiceAccount"].Metadata.Annotations["azure.workload.identity/client-id"] == "" {
		t.Error("the service account names no identity")
	}
	pod := objects["Deployment"].Spec.Template.Spec
	if pod.ServiceAccountName != workload || len(pod.Volumes) != 1 || pod.Volumes[0].ConfigMap.Name != workload {
		t.Errorf("service account %q, volumes %v", pod.ServiceAccountName, pod.Volumes)
	}
}

func texts(v any) map[string]string {
	got := map[string]string{}
	m, _ := v.(map[string]any)
	for name, value := range m {
		got[name], _ = value.(string)
	}
	return got
}

func TestClusterPorts(t *testing.T) {
	t.Parallel()
	objects, c := cluster(t), clusterConfig(t)
	gateway := only(t, objects)
	listening := map[string]string{"api": c.Listeners.API.Address, "probes": c.Listeners.Probes.Address}
	for _, p := range gateway.Ports {
		host, port, err := net.SplitHostPort(listening[p.Name])
		if err != nil || host != "0.0.0.0" || port != strconv.Itoa(p.ContainerPort) {
			t.Errorf("port %s is %d, and gateway.yaml listens on %q", p.Name, p.ContainerPort, listening[p.Name])
		}
		delete(listening, p.Name)
	}
	for name := range listening {
		t.Errorf("the port %s is not there", name)
	}
	notes := objects["Deployment"].Spec.Template.Metadata.Annotations
	_, probes, _ := net.SplitHostPort(c.Listeners.Probes.Address)
	if notes["prometheus.io/port"] != probes || notes["prometheus.io/path"] != "/metrics" {
		t.Errorf("metrics are looked for at %v", notes)
	}
	for name, p := range map[string]probe{"/livez": gateway.LivenessProbe, "/readyz": gateway.ReadinessProbe} {
		if p.HTTPGet.Path != name || p.HTTPGet.Port != "probes" {
			t.Errorf("probe %s asks %+v", name, p.HTTPGet)
		}
	}
	if ports := objects["Service"].Spec.Ports; len(ports) != 1 || ports[0].TargetPort != "api" {
		t.Errorf("the service has the ports %+v; callers need the api alone", ports)
	}
}

func only(t *testing.T, objects map[string]object) container {
	t.Helper()
	list := objects["Deployment"].Spec.Template.Spec.Containers
	if len(list) != 1 {
		t.Fatalf("%d containers", len(list))
	}
	return list[0]
}

// TestClusterNetwork: the probes' port is for the monitoring alone, and gateway.yaml can get out to what it names.
func TestClusterNetwork(t *testing.T) {
	t.Parallel()
	policy := cluster(t)["NetworkPolicy"].Spec
	if !slices.Equal(policy.PolicyTypes, []string{"Ingress", "Egress"}) {
		t.Errorf("the policy is for %v", policy.PolicyTypes)
	}
	from := map[any][]string{}
	for _, in := range policy.Ingress {
		for _, p := range in.Ports {
			for _, who := range in.From {
				from[p.Port] = append(from[p.Port], who.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
			}
		}
		if len(in.Ports) == 0 || len(in.From) == 0 {
			t.Error("an ingress without ports or peers lets everybody in")
		}
	}
	if !slices.Equal(from["api"], []string{"ingress-nginx"}) || !slices.Equal(from["probes"], []string{"monitoring"}) {
		t.Errorf("who may come in: %v", from)
	}
	var out []string
	for _, way := range policy.Egress {
		for _, p := range way.Ports {
			if number, ok := p.Port.(uint64); ok {
				out = append(out, p.Protocol+strconv.FormatUint(number, 10))
			}
		}
	}
	for _, port := range []string{"UDP53", "TCP53", "TCP443", "TCP5671"} {
		if !slices.Contains(out, port) {
			t.Errorf("%s is not let out; there is %v", port, out)
		}
	}
}

func TestClusterContainer(t *testing.T) {
	t.Parallel()
	objects := cluster(t)
	pod, gateway := objects["Deployment"].Spec.Template.Spec, only(t, objects)
	if name, tag, tagged := strings.Cut(gateway.Image, ":"); !tagged || tag == "latest" || !strings.HasSuffix(name, "/evhub") {
		t.Errorf("image %q: a rollback needs a tag that stays what it is", gateway.Image)
	}
	if !slices.Equal(gateway.Args, []string{"gateway", "--config", gateway.VolumeMounts[0].MountPath + "/gateway.yaml"}) {
		t.Errorf("args %q, mounts %v", gateway.Args, gateway.VolumeMounts)
	}
	user, inside := pod.SecurityContext, gateway.SecurityContext
	if !user.RunAsNonRoot || user.RunAsUser != 65532 || user.RunAsGroup != 65532 {
		t.Errorf("runs as %+v, and the image is made for 65532", user)
	}
	if inside.AllowPrivilegeEscalation == nil || *inside.AllowPrivilegeEscalation || !inside.ReadOnlyRootFilesystem ||
		!slices.Equal(inside.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("may do more than it needs: %+v", inside)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the pod gets a token of the cluster, which it does not need")
	}
	if spec := objects["Deployment"].Spec; spec.Replicas < 2 || spec.Strategy.RollingUpdate["maxUnavailable"] != 0 ||
		objects["PodDisruptionBudget"].Spec.MinAvailable < 1 || objects["PodDisruptionBudget"].Spec.MinAvailable >= spec.Replicas {
		t.Errorf("%d replicas, %v, at least %d: an update or a drained node stops the service, or can never end", spec.Replicas,
			spec.Strategy.RollingUpdate, objects["PodDisruptionBudget"].Spec.MinAvailable)
	}
}

// tracesTime is what the command takes for the last traces, after draining.
const tracesTime = 3 * time.Second

func TestClusterTimes(t *testing.T) {
	t.Parallel()
	objects, c := cluster(t), clusterConfig(t)
	grace := time.Duration(objects["Deployment"].Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if needs := c.Drain.Total + tracesTime; grace <= needs {
		t.Errorf("killed after %s, and draining may take %s", grace, needs)
	}
	ready := only(t, objects).ReadinessProbe
	if seen := time.Duration(ready.PeriodSeconds*ready.FailureThreshold) * time.Second; seen >= c.Drain.Wait {
		t.Errorf("not being ready is seen after %s, and the door is shut after %s", seen, c.Drain.Wait)
	}
	if c.Limits.HandlerTime >= c.Drain.Total-c.Drain.Wait {
		t.Errorf("a request may take %s, and draining leaves it %s", c.Limits.HandlerTime, c.Drain.Total-c.Drain.Wait)
	}
}

// TestClusterMemory: what gateway.yaml lets callers fill lies below GOMEMLIMIT, and that below what the kernel kills at.
func TestClusterMemory(t *testing.T) {
	t.Parallel()
	gateway, c := only(t, cluster(t)), clusterConfig(t)
	const (
		tokens = 65536 << 10 // verified tokens are remembered, at some 1 KiB each
		itself = 96 << 20    // code, connections, stacks, room for garbage
	)
	needs := int64(c.Limits.InFlight) + int64(len(c.Routes))*int64(c.Batching.Memory) + int64(c.Limits.Idempotency.Memory) + tokens + itself
	var soft int64
	for _, v := range gateway.Env {
		if v.Name == "GOMEMLIMIT" {
			soft = mebibytes(t, v.Value, "MiB")
		}
	}
	hard := mebibytes(t, gateway.Resources.Limits["memory"], "Mi")
	if needs > soft || soft > hard*9/10 {
		t.Errorf("gateway.yaml may fill %d MiB, GOMEMLIMIT is %d MiB, the limit %d MiB", needs>>20, soft>>20, hard>>20)
	}
	if gateway.Resources.Requests["cpu"] == "" || gateway.Resources.Requests["memory"] == "" {
		t.Error("nothing is requested, so nodes can be overfilled")
	}
}

func mebibytes(t *testing.T, text, unit string) int64 {
	t.Helper()
	number, ok := strings.CutSuffix(text, unit)
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		t.Fatalf("%q is not a number of %s", text, unit)
	}
	return n << 20
}
