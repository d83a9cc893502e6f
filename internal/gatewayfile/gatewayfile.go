// Package gatewayfile reads gateway.yaml, the one file that the notification service is configured by. Example is such a file with every
// key explained, and Schema is for editors.
//
// What an operator needs: everything that is wrong with the file at once, each with line, column, path and what to write instead; that a
// misspelt key is never passed over; that a service which would be unsafe does not start; and that no secret is in the file, in a log or in
// an error. What could break that, and the rule that keeps it whole:
//   - YAML has ways to say one thing twice or from afar: anchors, merges, tags, several documents, keys given again. All are refused. What
//     remains is JSON with less punctuation, and JSON itself is taken as well.
//   - A value of another type that looks right (a port as text, a list of one as a string) is an error, never converted.
//   - Null is an error: "tls:" with nothing behind it must not mean "no TLS".
//   - Secrets are references, ${env:NAME} or ${file:PATH}. What they refer to is read when it is used, and is nowhere in a Config.
//
// Paths in the file are relative to its directory.
package gatewayfile

import (
	_ "embed"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/setting"
)

const fileBytesMax = 256 << 10 // some thousand routes and rules

// Config is a checked file with the defaults filled in.
type Config struct {
	Schema    string            `key:"$schema"` // for editors only
	Listeners Listeners         `key:"listeners"`
	CORS      CORS              `key:"cors"`
	Targets   map[string]Target `key:"targets" need:"name the event hubs or Kafka clusters that messages go to"`
	Routes    map[string]Route  `key:"routes" need:"name the hubs that callers may post to, each with its target"`
	Issuers   []Issuer          `key:"issuers" need:"list whose tokens are trusted"`
	Rules     []Rule            `key:"rules" need:"without a rule no token may do anything"`
	Limits    Limits            `key:"limits"`
	Drain     Drain             `key:"drain"`
	Logging   Logging           `key:"logging"`
	Batching  Batching          `key:"batching"`

	Warnings []config.Problem // in the order of the file
}

// Listeners are the service's two ports.
type Listeners struct {
	API    API    `key:"api"`
	Probes Probes `key:"probes"`
}

// API is where messages are posted.
type API struct {
	Address string `key:"address"` // host:port, 127.0.0.1:8080
	TLS     *TLS   `key:"tls"`     // nil: plain HTTP, of this machine only

	// TrustedProxies are peers whose word on the caller's address is taken, for logs and for Limits.Refusals.
	TrustedProxies []netip.Prefix `key:"trustedProxies"`
	ForwardedBy    string         `key:"forwardedBy" of:"X-Forwarded-For Forwarded"` // the header in which they say it, X-Forwarded-For
}

// TLS says who ends TLS: this service with a certificate, or what stands before it.
type TLS struct {
	Certificate  string `key:"certificate" as:"path"` // PEM, with the chain; "" with TerminatedBy
	Key          string `key:"key" as:"path"`
	TerminatedBy string `key:"terminatedBy" of:"ingress"`
}

// Ingress is TLS.TerminatedBy where something before this service ends TLS.
const Ingress = "ingress"

// Probes is the port of /livez, /readyz and /metrics, which ask for no token.
type Probes struct {
	Address string `key:"address"` // host:port, 127.0.0.1:8081
}

// CORS lets pages of web origins call.
type CORS struct {
	Origins []string `key:"origins"` // "https://app.example.com"; none: no page may
}

// Target is a place that messages go to. One of EventHubs, Kafka and Broker is set.
type Target struct {
	Name      string     // the target's key in the file
	EventHubs *EventHubs `key:"eventHubs"`
	Kafka     *Kafka     `key:"kafka"`
	Broker    *Broker    `key:"broker"`
}

// EventHubs is a namespace of Azure Event Hubs. It has a ConnectionString, or a Namespace and a Credential.
type EventHubs struct {
	Namespace        string `key:"namespace"`                                // host name
	Hub              string `key:"hub"`                                      // of routes that name none; "": the route's own name
	Credential       string `key:"credential" of:"workload managed default"` // of Microsoft Entra; "" with a connection string
	ClientID         string `key:"clientId"`                                 // of workload and managed; "": the pod's or the host's only one
	ConnectionString Secret `key:"connectionString"`
	Transport        string `key:"transport" of:"amqp websocket"` // TLS on port 5671 (amqp, the default), or HTTPS on 443
	Proxy            string `key:"proxy"`                         // of websocket and of Entra: http://host:port; "": as HTTPS_PROXY says
	CAFile           string `key:"caFile" as:"path"`              // PEM; authorities to trust beside the system's
	CustomEndpoint   string `key:"customEndpoint"`                // host or host:port to dial; the certificate stays the namespace's
}

// The values of EventHubs.Credential and EventHubs.Transport.
const (
	WorkloadIdentity = "workload"
	ManagedIdentity  = "managed"
	DefaultIdentity  = "default"

	OverAMQP      = "amqp"
	OverWebSocket = "websocket"
)

// Broker is an evhub broker, or the official emulator: Event Hubs without TLS. One of its fields is set.
type Broker struct {
	Address          string `key:"address"` // host:port of this machine; the public development key opens it
	ConnectionString Secret `key:"connectionString"`
}

// Kafka is an Apache Kafka cluster.
type Kafka struct {
	Brokers []string  `key:"brokers" need:"give host:port of one broker or more"`
	TLS     *KafkaTLS `key:"tls"` // nil: none
	SASL    *SASL     `key:"sasl"`
}

// KafkaTLS turns TLS on.
type KafkaTLS struct {
	CAFile string `key:"caFile" as:"path"` // PEM; authorities to trust beside the system's
}

// SASL is who the service is to a Kafka cluster.
type SASL struct {
	Mechanism string `key:"mechanism" of:"PLAIN SCRAM-SHA-256 SCRAM-SHA-512" need:"it is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"`
	Username  string `key:"username" need:"name the account"`
	Password  Secret `key:"password" need:"write ${env:NAME} or ${file:PATH}"`
}

// Route is where the messages of a public hub go.
type Route struct {
	Target string `key:"target" need:"name one of targets"`
	Hub    string `key:"hub"` // its name at the target; after Parse never ""
}

// Limits bound what callers can use.
type Limits struct {
	Body           setting.Bytes `key:"body" min:"1KiB" max:"20MiB"`       // of one message, 1 MiB
	Batch          setting.Bytes `key:"batch" min:"1KiB" max:"64MiB"`      // of one batch's request, 4 MiB
	Items          int           `key:"items" min:"1" max:"10000"`         // messages in one batch, 1,000
	Properties     int           `key:"properties" min:"1" max:"1000"`     // of one message, 64
	InFlight       setting.Bytes `key:"inFlight" min:"1MiB" max:"64GiB"`   // of all requests under way, 256 MiB
	PrincipalShare float64       `key:"principalShare" min:"0.01" max:"1"` // part of InFlight that one caller may hold, and of Idempotency when it is full, 0.25
	HandlerTime    time.Duration `key:"handlerTime" min:"100ms" max:"5m"`  // for storing, once the body is in, 10 s
	BodyTime       time.Duration `key:"bodyTime" min:"1s" max:"10m"`       // for a body to come in, 30 s
	BodyRate       setting.Bytes `key:"bodyRate" min:"1" max:"1GiB"`       // the least a second that a body comes at after 5 s, 16 KiB
	Headers        setting.Bytes `key:"headers" min:"4KiB" max:"1MiB"`     // 32 KiB
	Quotas         int           `key:"quotas" min:"1" max:"10000000"`     // callers whose rates are remembered, and addresses, 65,536
	Refusals       int           `key:"refusals" min:"0" max:"1000000"`    // forged tokens a second of one address before it is slowed; 0, the default: any
	Idempotency    Idempotency   `key:"idempotency"`
}

// Idempotency bounds what is remembered for Idempotency-Key, in memory and for this process only.
type Idempotency struct {
	Entries int           `key:"entries" min:"1" max:"10000000"` // 65,536
	Memory  setting.Bytes `key:"memory" min:"64KiB" max:"16GiB"` // 32 MiB
	Age     time.Duration `key:"age" min:"1s" max:"7d"`          // 24 h
}

// Drain is how the service ends.
type Drain struct {
	Wait  time.Duration `key:"wait" min:"0s" max:"5m"`   // between being not ready and taking no more, so that balancers see it: 5 s
	Total time.Duration `key:"total" min:"1s" max:"30m"` // for all of it, Wait included: 25 s
}

// Logging goes to standard error.
type Logging struct {
	Level        slog.Level `key:"level"`                                 // info
	Format       string     `key:"format" of:"json text"`                 // json
	AccessSample int        `key:"accessSample" min:"1" max:"1000000000"` // one in so many good requests is logged, 100
	Audit        bool       `key:"audit"`                                 // a line for each attempt to publish: who, where, what came of it
}

// Batching is how messages of many requests go to a target together. Each hub has as much of its own, a Kafka cluster all in one.
type Batching struct {
	Linger   time.Duration `key:"linger" min:"0s" max:"2ms"`     // how long the first message of a batch waits for company, 0
	Slots    int           `key:"slots" min:"1" max:"8"`         // batches without key under way at once, 4; not of Kafka
	Memory   setting.Bytes `key:"memory" min:"1MiB" max:"16GiB"` // what may wait or be under way, 64 MiB; beyond it callers are told to wait
	SendTime time.Duration `key:"sendTime" min:"1s" max:"5m"`    // for one batch, 30 s
	Resend   bool          `key:"resend"`                        // after a lost connection, at the price of duplicates; not of Kafka, which has none
}

// defaults are what holds where the file says nothing.
func defaults() Config {
	return Config{
		Listeners: Listeners{API: API{Address: "127.0.0.1:8080", ForwardedBy: "X-Forwarded-For"}, Probes: Probes{Address: "127.0.0.1:8081"}},
		Limits: Limits{
			Body: 1 << 20, Batch: 4 << 20, Items: 1000, Properties: 64, InFlight: 256 << 20, PrincipalShare: 0.25,
			HandlerTime: 10 * time.Second, BodyTime: 30 * time.Second, BodyRate: 16 << 10, Headers: 32 << 10, Quotas: 65536,
			Idempotency: Idempotency{Entries: 65536, Memory: 32 << 20, Age: 24 * time.Hour},
		},
		Drain:    Drain{Wait: 5 * time.Second, Total: 25 * time.Second},
		Logging:  Logging{Format: "json", AccessSample: 100},
		Batching: Batching{Slots: 4, Memory: 64 << 20, SendTime: 30 * time.Second},
	}
}

// Parse checks the content of a file that is called name in problems. It reads nothing else: whether secrets and certificates can be had is
// for Load to see. The error is config.Errors.
func Parse(name string, data []byte) (*Config, error) {
	c, d := parse(name, data)
	return d.result(c)
}

// Load reads and checks a file, and everything that it refers to: secrets, certificates, key files. The error is config.Errors.
func Load(path string) (*Config, error) {
	data, err := setting.ReadFile(path, fileBytesMax)
	if err != nil {
		return nil, config.Errors{{File: path, Text: err.Error()}}
	}
	c, d := parse(path, data)
	if d.errors.none() {
		d.checkReferences(c)
	}
	return d.result(c)
}

func parse(name string, data []byte) (*Config, *decoder) {
	d := newDecoder(name)
	c := defaults()
	if root, ok := d.tree(data); ok {
		d.decode(root, &c)
		d.check(&c)
	}
	return &c, d
}

//go:embed gateway.example.yaml
var example []byte

// Example is a file that explains every key. It can be parsed, and loaded once its secrets are there.
func Example() []byte { return append([]byte(nil), example...) }

//go:embed gateway.schema.json
var schema []byte

// Schema is the file's JSON Schema (2020-12). It knows the keys and their types; Parse knows more.
func Schema() []byte { return append([]byte(nil), schema...) }

// absolute is a path of the file as the process can open it.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
