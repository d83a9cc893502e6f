package eventhubs

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

// recordedHub is the hub of the recordings.
const recordedHub = "ehfecbf681-a8dd-4c93-ba1e-d154046f1005"

// TestReadPartitionRecorded: the properties of a partition never written to are the recorded bytes.
func TestReadPartitionRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	_, err := r.hall.Namespace("ns1").CreateHub(hub.Spec{Name: recordedHub, Partitions: 2})
	r.must(err)
	want, err := base64.StdEncoding.DecodeString("AFNzwB4NQEBAQECYpwMtv4rgQVmj6Zla9BNNCkBAQEBAQEAAU3TBJAShCW9wZXJhdGlvbqEEUkVBRKELc3RhdHVzLWNvZGVxAAAAyABTd9EAAAEv" +
		"AAAAFKEEbmFtZaEmZWhmZWNiZjY4MS1hOGRkLTRjOTMtYmExZS1kMTU0MDQ2ZjEwMDWhCXBhcnRpdGlvbqEBMKEEdHlwZaEXY29tLm1pY3Jvc29mdDpwYXJ0aXRpb26hG2JlZ2lu" +
		"X3NlcXVlbmNlX251bWJlcl9lcG9jaFT/oRViZWdpbl9zZXF1ZW5jZV9udW1iZXJV/6EjbGFzdF9lbnF1ZXVlZF9zZXF1ZW5jZV9udW1iZXJfZXBvY2hU/6EdbGFzdF9lbnF1ZXVl" +
		"ZF9zZXF1ZW5jZV9udW1iZXJV/6EUbGFzdF9lbnF1ZXVlZF9vZmZzZXShAi0xoRZsYXN0X2VucXVldWVkX3RpbWVfdXRjg///x3zt0ygAoRJpc19wYXJ0aXRpb25fZW1wdHlB")
	r.must(err)
	p := r.root().pair(nodeManagement)
	m := read(typePartition, recordedHub, "0")
	m.Properties = &amqp.Properties{MessageID: amqp.UUID(unhex(t, "a7032dbf8ae04159a3e9995af4134d0a"))}
	_, payload := p.ask(m)
	wantBytes(t, "partition", payload, want)
}

// TestReadHubRecorded: the properties of a hub have the recorded size, order and types.
func TestReadHubRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	h, err := r.hall.Namespace("ns1").CreateHub(hub.Spec{Name: recordedHub, Partitions: 2})
	r.must(err)
	p := r.root().pair(nodeManagement)
	m := read(typeHub, recordedHub, "")
	m.Properties = &amqp.Properties{MessageID: amqp.UUID{1}}
	_, payload := p.ask(m)
	if len(payload) != 252 {
		t.Errorf("%d bytes, want 252 as recorded", len(payload))
	}
	created := hex.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(h.Created().UnixMilli())))
	wantBytes(t, "hub", payload, unhex(t, `005373c01e0d 4040404040 9801000000000000000000000000000000 40404040404040
		005374c12404 a109"operation" a104"READ" a10b"status-code" 71000000c8
		005377c1ab0c a104"name" a126"`+recordedHub+`" a104"type" a116"com.microsoft:eventhub" a10a"created_at" 83`+created+`
		a10f"partition_count" 5402 a10d"partition_ids" e00c02b1 00000001"0" 00000001"1" a115"georeplication_factor" 5401`))
}

// properties asks for a partition's and gives them.
func (p *pair) properties(hub, partition string) amqp.Map {
	p.send.c.t.Helper()
	m, _ := p.ask(read(typePartition, hub, partition))
	if code, description, _ := statusOf(m); code != 200 {
		p.send.c.t.Fatalf("READ of %s/%s: %d %s", hub, partition, code, description)
	}
	return m.Value.(amqp.Map)
}

func wantProperties(t *testing.T, what string, got amqp.Map, want map[string]any) {
	t.Helper()
	for key, v := range want {
		if g, ok := got.Lookup(key); !ok || g != v {
			t.Errorf("%s: %s is %T %v, want %T %v", what, key, g, g, v, v)
		}
	}
}

func TestReadWrittenPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.root()
	s := c.attach(sending("hub1/Partitions/1"))
	var last int64
	for range 200 {
		last = r.hub("ns1").PartitionAt(1).State().Next.Offset
		id := s.transfer(amqp.FormatMessage, false, plain("hi"))
		for f := c.next(); ; f = c.next() { // credit comes in between
			var d amqp.Disposition
			if f.code == amqp.CodeDisposition {
				if c.decode(f, &d); d.First == id && d.State.Code == amqp.CodeAccepted {
					break
				}
				t.Fatalf("disposition %+v", d)
			}
		}
	}
	c.fence()
	state := r.hub("ns1").PartitionAt(1).State()
	p := c.pair(nodeManagement)
	got := p.properties("hub1", "1")
	if len(got) != 10 {
		t.Errorf("%d properties, want 10: %v", len(got), got)
	}
	wantProperties(t, "written", got, map[string]any{
		"name": "hub1", "partition": "1", "type": "com.microsoft:partition",
		"begin_sequence_number_epoch": int32(-1), "begin_sequence_number": int64(0),
		"last_enqueued_sequence_number_epoch": int32(-1), "last_enqueued_sequence_number": int64(199),
		"last_enqueued_offset":   decimal(last),
		"last_enqueued_time_utc": amqp.Timestamp(state.Last.TimeMs), "is_partition_empty": false,
	})
	wantProperties(t, "the other", p.properties("hub1", "0"), map[string]any{
		"begin_sequence_number": int64(-1), "last_enqueued_offset": "-1", "is_partition_empty": true,
	})

	log := r.hub("ns1").PartitionAt(1).Log()
	log.Trim(150)
	wantProperties(t, "trimmed", p.properties("HUB1", "1"), map[string]any{
		"name": "hub1", "begin_sequence_number": int64(150), "last_enqueued_sequence_number": int64(199), "is_partition_empty": false,
	})
	log.Trim(200)
	wantProperties(t, "trimmed to nothing", p.properties("hub1", "1"), map[string]any{
		"begin_sequence_number": int64(200), "last_enqueued_sequence_number": int64(199), "last_enqueued_offset": decimal(last),
		"last_enqueued_time_utc": amqp.Timestamp(state.Last.TimeMs), "is_partition_empty": true,
	})
}

// TestReadLateStart: a hub whose numbers start elsewhere looks as empty as any, before the first event.
func TestReadLateStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	spec := hub.Spec{Name: "late", Partitions: 1}
	spec.First.Seq, spec.First.Offset = 1000, 4096
	_, err := r.hall.Namespace("ns1").CreateHub(spec)
	r.must(err)
	c := r.root()
	p := c.pair(nodeManagement)
	wantProperties(t, "empty", p.properties("late", "0"), map[string]any{
		"begin_sequence_number": int64(-1), "last_enqueued_sequence_number": int64(-1), "last_enqueued_offset": "-1", "is_partition_empty": true,
	})
	s := c.attach(sending("late"))
	s.wantAccepted(s.publish(plain("hi")))
	wantProperties(t, "written", p.properties("late", "0"), map[string]any{
		"begin_sequence_number": int64(1000), "last_enqueued_sequence_number": int64(1000), "last_enqueued_offset": "4096", "is_partition_empty": false,
	})
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	p := r.root().pair(nodeManagement)
	const partition = "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and 1."
	write := read(typeHub, "hub1", "")
	write.ApplicationProperties[0].Value = "UPDATE"
	for _, row := range []struct {
		name        string
		request     *amqp.Message
		code        int32
		description string
		condition   amqp.Symbol
	}{
		{"unknown hub", read(typeHub, "NoHub", ""), 404,
			"The messaging entity 'ns1:eventhub:nohub' could not be found." + trackers("ns1:eventhub:nohub"), amqp.CondNotFound},
		{"partition of an unknown hub", read(typePartition, "nohub", "0"), 404,
			"The messaging entity 'ns1:eventhub:nohub' could not be found." + trackers("ns1:eventhub:nohub"), amqp.CondNotFound},
		{"partition XYZ", read(typePartition, "hub1", "XYZ"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition -1", read(typePartition, "hub1", "-1"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition 2", read(typePartition, "hub1", "2"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition 1000", read(typePartition, "hub1", "1000"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition -", read(typePartition, "hub1", "-"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition blank", read(typePartition, "hub1", " "), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition empty", read(typePartition, "hub1", ""), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"partition 00", read(typePartition, "hub1", "00"), 400, partition + trackers("ns1:eventhub:hub1"), amqp.CondArgumentOutOfRange},
		{"another operation", write, 501, "The operation 'UPDATE' on 'com.microsoft:eventhub' is not known at $management. " +
			"It takes 'READ' on 'com.microsoft:eventhub' and 'com.microsoft:partition'." + trackers("NoSystemTracker"), amqp.CondNotImplemented},
		{"another type", read("com.microsoft:namespace", "hub1", ""), 501,
			"The operation 'READ' on 'com.microsoft:namespace' is not known at $management. " +
				"It takes 'READ' on 'com.microsoft:eventhub' and 'com.microsoft:partition'." + trackers("NoSystemTracker"), amqp.CondNotImplemented},
	} {
		m, _ := p.ask(row.request)
		code, description, condition := statusOf(m)
		if code != row.code || description != row.description || condition != row.condition {
			t.Errorf("%s:\n got %d %q %q\nwant %d %q %q", row.name, code, description, condition, row.code, row.description, row.condition)
		}
	}
	p.properties("hub1", "0") // the connection is still good
}

// TestReadRights: any right on the hub will do. A client without one is asked for a security_token; what others put there does not matter.
func TestReadRights(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	ofHub := func(name string, token any) *amqp.Message {
		m := read(typeHub, name, "")
		m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{Key: "security_token", Value: token})
		return m
	}
	withToken := func(token any) *amqp.Message { return ofHub("hub1", token) }
	const (
		noToken     = "Unauthorized access. Put a token for 'hub1' to $cbs, or send it as security_token."
		invalid     = "InvalidSignature: The token has an invalid signature."
		unsupported = "UnsupportedToken: Only SAS tokens are accepted here."
	)
	for _, row := range []struct {
		name    string
		client  *client
		request *amqp.Message
		code    int32
		begins  string // the description
	}{
		{"no token", r.dial(), read(typeHub, "hub1", ""), 401, noToken},
		{"listen", r.login("listen", listenKey), read(typeHub, "hub1", ""), 200, ""},
		{"send", r.login("send", sendKey), read(typeHub, "hub1", ""), 200, ""},
		{"token of the hub only", r.with(hubURL, r.token(signedHub1, "root", rootKey)), read(typeHub, "hub1", ""), 200, ""},
		{"token of $management only, Go", r.with("amqp://localhost/hub1/$management", r.token("sb://localhost/hub1/$management", "root", rootKey)),
			read(typeHub, "hub1", ""), 200, ""},
		{"token of another node only", r.with(hubURL+"/Partitions/0", r.token(hubURL+"/Partitions/0", "root", rootKey)), read(typeHub, "hub1",
			""), 401, noToken},
		{"only a security_token, .NET and Java", r.dial(), withToken(r.token("amqps://localhost/hub1", "root", rootKey)), 200, ""},
		{"an integer as security_token, Python 5.11", r.root(), withToken(int64(1700000000)), 200, ""},
		{"an integer and nothing else", r.dial(), withToken(int64(1700000000)), 401, noToken},
		{"nonsense beside a token", r.root(), withToken("nonsense"), 200, ""},
		{"nonsense and nothing else", r.dial(), withToken("nonsense"), 401, unsupported},
		{"wrong key", r.dial(), withToken(r.token("amqps://localhost/hub1", "root", "guess")), 401, invalid},
		{"unknown policy", r.dial(), withToken(r.token("amqps://localhost/hub1", "nobody", "guess")), 401, invalid + trackers("NoSystemTracker")},
		{"jwt", r.dial(), withToken("eyJhbGciOi.eyJzdWIi.c2ln"), 401, unsupported},
		{"token of another hub", r.dial(), withToken(r.token("amqps://localhost/hub2", "root", rootKey)), 401, "InvalidAudience: "},
		{"security_token of another namespace than the connection's", r.with(hubURL+"/Partitions/0", r.token(hubURL+"/Partitions/0", "root",
			rootKey)),
			withToken(r.token("amqps://localhost/hub1", "other", otherKey)), 404, "The messaging entity '"},
		{"unknown hub with a security_token", r.dial(), ofHub("nohub", r.token("amqps://localhost", "root", rootKey)), 404,
			"The messaging entity 'sb://localhost/nohub' could not be found. To know more visit"},
	} {
		p := row.client.pair(nodeManagement)
		m, _ := p.ask(row.request)
		code, description, _ := statusOf(m)
		if code != row.code || !strings.HasPrefix(description, row.begins) {
			t.Errorf("%s: %d %q, want %d %q", row.name, code, description, row.code, row.begins)
		}
		again, _ := p.ask(row.request)
		if code, _, _ := statusOf(again); code != row.code {
			t.Errorf("%s: %d the second time, want %d", row.name, code, row.code)
		}
	}
	if !r.logged("token refused") || !r.logged("policy=nobody") {
		t.Error("the log does not tell of the refused tokens")
	}
}

// with dials and puts one token.
func (r *rig) with(audience, token string) *client {
	r.t.Helper()
	c := r.dial()
	c.pair(nodeCBS).mustPut(audience, token)
	return c
}

// TestSecurityTokenOpensLinks: a client that showed its token at $management only may use what the token allows.
func TestSecurityTokenOpensLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	c := r.dial()
	m := read(typeHub, "hub1", "")
	m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{Key: "security_token", Value: r.token("amqps://localhost/hub1",
		"listen", listenKey)})
	c.pair(nodeManagement).ask(m)
	c.attach(receiving("/hub1/ConsumerGroups/$Default/Partitions/0"))
	if e := c.refused(sending("/hub1")); e.Condition != amqp.CondUnauthorizedAccess {
		t.Errorf("sending with a token that allows listening: %v", e)
	}
}
