package eventhubs

import (
	"strings"
	"testing"
	"testing/quick"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       address
	}{
		{"$cbs", "$cbs", address{path: "$cbs", node: nodeCBS}},
		{"$cbs in capitals", "$CBS", address{path: "$cbs", node: nodeCBS}},
		{"$cbs as a URL", "amqps://localhost:5671/$cbs", address{path: "$cbs", node: nodeCBS}},
		{"$management", "$management", address{path: "$management", node: nodeManagement}},
		{"$management of a hub", "hub1/$management", address{path: "hub1/$management", node: nodeManagement, hub: "hub1"}},
		{"$management in an audience", "amqp://localhost:5672/hub1/$management", address{path: "hub1/$management", node: nodeManagement,
			hub: "hub1"}},

		{"hub, Go and JavaScript", "hub1", address{path: "hub1", hub: "hub1"}},
		{"hub, .NET", "/hub1", address{path: "hub1", hub: "hub1"}},
		{"hub, Python", "amqps://ns.servicebus.windows.net/hub1", address{path: "hub1", hub: "hub1"}},
		{"hub, Python and the emulator", "amqps://localhost:5672/Hub1", address{path: "hub1", hub: "hub1"}},
		{"hub, audience", "sb://localhost/hub1/", address{path: "hub1", hub: "hub1"}},
		{"namespace, audience", "sb://localhost/", address{}},
		{"hub with a slash", "a/b", address{path: "a/b", hub: "a/b"}},
		{"hub with odd characters", "a.b-c_d", address{path: "a.b-c_d", hub: "a.b-c_d"}},

		{"partition, Go and JavaScript", "hub1/Partitions/1", address{path: "hub1/partitions/1", hub: "hub1", partition: "1"}},
		{"partition, .NET", "/hub1/Partitions/1", address{path: "hub1/partitions/1", hub: "hub1", partition: "1"}},
		{"partition, Rust and Python", "amqps://ns.x/hub1/Partitions/31", address{path: "hub1/partitions/31", hub: "hub1", partition: "31"}},
		{"partition of a hub with a slash", "a/b/Partitions/1", address{path: "a/b/partitions/1", hub: "a/b", partition: "1"}},
		{"partition that is none", "hub1/Partitions/XYZ", address{path: "hub1/partitions/xyz", hub: "hub1", partition: "xyz"}},
		{"blank partition", "hub1/Partitions/", address{path: "hub1/partitions", hub: "hub1", blank: true}},

		{"receiver, Go, JavaScript and Java", "hub1/ConsumerGroups/$Default/Partitions/0",
			address{path: "hub1/consumergroups/$default/partitions/0", hub: "hub1", group: "$default", partition: "0"}},
		{"receiver, .NET", "/hub1/ConsumerGroups/%24Default/Partitions/0",
			address{path: "hub1/consumergroups/$default/partitions/0", hub: "hub1", group: "$default", partition: "0"}},
		{"receiver, Python", "amqps://localhost:5672/hub1/ConsumerGroups/$Default/Partitions/0",
			address{path: "hub1/consumergroups/$default/partitions/0", hub: "hub1", group: "$default", partition: "0"}},
		{"group, Python's audience", "sb://localhost/hub1/consumergroups/$Default",
			address{path: "hub1/consumergroups/$default", hub: "hub1", group: "$default"}},
		{"group with a slash", "hub1/ConsumerGroups/a/b/Partitions/0",
			address{path: "hub1/consumergroups/a/b/partitions/0", hub: "hub1", group: "a/b", partition: "0"}},
		{"group and blank partition", "hub1/ConsumerGroups/cg1/Partitions/",
			address{path: "hub1/consumergroups/cg1/partitions", hub: "hub1", group: "cg1", blank: true}},
		{"blank group", "hub1/ConsumerGroups//Partitions/0", address{path: "hub1/consumergroups//partitions/0", hub: "hub1", partition: "0"}},

		{"publisher", "hub1/Publishers/device-1", address{path: "hub1/publishers/device-1", hub: "hub1", publisher: "device-1"}},
		{"publisher, .NET", "/hub1/publishers/device%201", address{path: "hub1/publishers/device 1", hub: "hub1", publisher: "device 1"}},

		{"nothing", "", address{}},
		{"slashes", "///", address{}},
		{"only a marker", "/partitions/", address{path: "partitions", hub: "partitions"}},
		{"broken escape", "hub%zz", address{path: "hub%zz", hub: "hub%zz"}},
	} {
		if got := parseAddress(c.text); got != c.want {
			t.Errorf("%s: %q is\n     %+v\nwant %+v", c.name, c.text, got, c.want)
		}
	}
}

// TestParseAnyAddress: nothing breaks it, and no part is longer than the whole.
func TestParseAnyAddress(t *testing.T) {
	t.Parallel()
	markers := []string{"/partitions/", "/consumergroups/", "/publishers/", "/$management", "amqps://", "%2f", "x", "/"}
	err := quick.Check(func(picks []uint8, noise string) bool {
		var b strings.Builder
		for _, p := range picks {
			b.WriteString(markers[int(p)%len(markers)])
		}
		a := parseAddress(b.String() + noise)
		whole := len(a.hub) + len(a.partition) + len(a.group) + len(a.publisher)
		return whole <= len(a.path) && !strings.HasPrefix(a.path, "/")
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestAudienceHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ audience, want string }{
		{"sb://localhost/hub1", "localhost"},
		{"sb://localhost:5672/hub1", "localhost:5672"},
		{"amqps://ns.servicebus.windows.net/hub1/Partitions/0", "ns.servicebus.windows.net"},
		{"sb%3A%2F%2Flocalhost%2Fhub1", "localhost"},
		{"sb://localhost", "localhost"},
		{"hub1", "localhost"},
		{"", "localhost"},
		{"%zz://h/x", "h"},
	} {
		if got := audienceHost(c.audience); got != c.want {
			t.Errorf("the host of %q is %q, want %q", c.audience, got, c.want)
		}
	}
}
