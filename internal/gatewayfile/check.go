package gatewayfile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/setting"
)

// placeAt is where the value of a path stands, or what holds it if it is not in the file.
func (d *decoder) placeAt(path string) place {
	for {
		if at, ok := d.places[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// failAt reports what is wrong with a value that was read, unless something is wrong with it already.
func (d *decoder) failAt(path, format string, args ...any) {
	if !d.errors.about(path) {
		d.errors.add(d.placeAt(path), path, fmt.Sprintf(format, args...))
	}
}

func (d *decoder) warnAt(path, format string, args ...any) {
	d.warnings.add(d.placeAt(path), path, fmt.Sprintf(format, args...))
}

// check is about what one value does not show. It goes through names in order, so that the same file has the same problems.
func (d *decoder) check(c *Config) {
	d.checkListeners(&c.Listeners)
	for n, origin := range c.CORS.Origins {
		d.checkOrigin(item("cors.origins", n), origin)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		t := c.Targets[name]
		t.Name = name
		d.checkTarget(&t, join("targets", name))
		c.Targets[name] = t
	}
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		c.Routes[name] = d.checkRoute(name, c.Routes[name], c)
	}
	d.checkIssuers(c)
	d.checkRules(c)
	d.checkUse(c)
	d.checkLimits(c)
}

func (d *decoder) checkListeners(l *Listeners) {
	apiHost, apiPort, apiErr := splitAddress(l.API.Address)
	if apiErr != nil {
		d.failAt("listeners.api.address", "%s", apiErr)
	}
	_, probesPort, probesErr := splitAddress(l.Probes.Address)
	if probesErr != nil {
		d.failAt("listeners.probes.address", "%s", probesErr)
	}
	if apiErr == nil && probesErr == nil && apiPort == probesPort && apiPort != "0" {
		d.failAt("listeners.probes.address", "has the port of the api, %s; probes and metrics ask for no token and need a port of their own", apiPort)
	}
	if l.API.TLS != nil {
		d.checkTLS(l.API.TLS)
	} else if apiErr == nil && !isLoopback(apiHost) {
		d.failAt("listeners.api.address", "%s can be reached from other machines, and without TLS tokens can be read on the way: "+
			"write tls: {certificate: FILE, key: FILE} beside it, or tls: {terminatedBy: ingress} if something before this service ends TLS",
			l.API.Address)
	}
}

func (d *decoder) checkTLS(t *TLS) {
	const path = "listeners.api.tls"
	switch {
	case t.TerminatedBy != "" && (t.Certificate != "" || t.Key != ""):
		d.failAt(path, "has a certificate or key, and is terminated by the ingress; give one of both")
	case t.TerminatedBy != "":
	case t.Certificate == "" && t.Key == "":
		d.failAt(path, "is empty; write {certificate: FILE, key: FILE}, or {terminatedBy: ingress}")
	case t.Certificate == "":
		d.failAt(path, "has a key and no certificate; write {certificate: FILE, key: FILE}")
	case t.Key == "":
		d.failAt(path, "has a certificate and no key; write {certificate: FILE, key: FILE}")
	}
}

func (d *decoder) checkOrigin(path, origin string) {
	u, err := url.Parse(origin)
	switch {
	case origin == "*":
		d.failAt(path, "* would let every page call; list the origins of your own")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin:
		d.failAt(path, "%.80q is not the origin of a page, like https://app.example.com: in lower case, without a path or a slash at the end", origin)
	}
}

func (d *decoder) checkTarget(t *Target, path string) {
	if err := checkTargetName(t.Name); err != nil {
		d.failAt(path, "%s", err)
	}
	given := 0
	for _, set := range []bool{t.EventHubs != nil, t.Kafka != nil, t.Broker != nil} {
		if set {
			given++
		}
	}
	switch {
	case given == 0:
		d.failAt(path, "says not what it is; give one of eventHubs, kafka, broker")
	case given > 1:
		d.failAt(path, "is several things at once; give one of eventHubs, kafka, broker")
	case t.EventHubs != nil:
		d.checkEventHubs(t.EventHubs, join(path, "eventHubs"))
	case t.Kafka != nil:
		d.checkKafka(t.Kafka, join(path, "kafka"))
	default:
		d.checkBroker(t.Broker, join(path, "broker"))
	}
}

func (d *decoder) checkEventHubs(e *EventHubs, path string) {
	e.Transport = cmp.Or(e.Transport, OverAMQP)
	d.checkWayIn(e, path)
	if e.Hub != "" {
		if err := checkHub(e.Hub); err != nil {
			d.failAt(join(path, "hub"), "%s", err)
		}
	}
	if e.CustomEndpoint != "" {
		if err := checkHost(e.CustomEndpoint, true); err != nil {
			d.failAt(join(path, "customEndpoint"), "%s", err)
		}
	}
	if e.Proxy != "" {
		d.checkProxy(e, join(path, "proxy"))
	}
}

// checkWayIn is about who the service is to the namespace, and which one that is.
func (d *decoder) checkWayIn(e *EventHubs, path string) {
	keyed := !e.ConnectionString.IsZero() || d.errors.about(join(path, "connectionString"))
	switch {
	case keyed && e.Namespace != "":
		d.failAt(join(path, "namespace"), "is in the connection string already; give one of both")
	case keyed && e.Credential != "":
		d.failAt(join(path, "credential"), "is given beside connectionString; give one of both")
	case !keyed && e.Namespace == "":
		d.failAt(path, "says not where it is; give namespace: NAME.servicebus.windows.net with a credential, or connectionString")
	case !keyed && e.Credential == "":
		d.failAt(path, "says not who this service is; write credential: workload, managed or default, or give connectionString")
	case e.ClientID != "" && keyed:
		d.failAt(join(path, "clientId"), "is of Microsoft Entra; leave it out where connectionString is")
	case e.ClientID != "" && e.Credential == DefaultIdentity:
		d.failAt(join(path, "clientId"), "is not for default, which takes it from AZURE_CLIENT_ID; write credential: workload or managed")
	}
	if e.Namespace == "" {
		return
	}
	host := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(e.Namespace, "sb://"), "https://"), "/")
	switch err := checkHost(host, false); {
	case errors.Is(err, errConnectionString):
		d.failAt(join(path, "namespace"), "%s", err)
	case err != nil:
		d.failAt(join(path, "namespace"), "%s; write NAME.servicebus.windows.net", err)
	case host != e.Namespace:
		d.failAt(join(path, "namespace"), "%.80q is an address; write the host alone: %s", e.Namespace, host)
	case !strings.Contains(host, "."):
		d.failAt(join(path, "namespace"), "%.80q is not a whole host name; write %s.servicebus.windows.net", host, host)
	}
}

func (d *decoder) checkProxy(e *EventHubs, path string) {
	u, err := url.Parse(e.Proxy)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		d.failAt(path, "is not the address of a proxy, like http://proxy.example.com:3128") // which may hold a password
	case u.User != nil:
		d.failAt(path, "has a user or password, which this file may not hold; leave it out and set HTTPS_PROXY instead")
	case e.Transport == OverAMQP:
		d.failAt(path, "cannot carry AMQP, which is no HTTP; write transport: websocket")
	}
}

func (d *decoder) checkBroker(b *Broker, path string) {
	keyed := !b.ConnectionString.IsZero() || d.errors.about(join(path, "connectionString"))
	host, _, err := splitAddress(b.Address)
	switch {
	case !keyed && b.Address == "":
		d.failAt(path, "says not where it is; give address: 127.0.0.1:5672, or connectionString")
	case keyed && b.Address != "":
		d.failAt(join(path, "address"), "is in the connection string already; give one of both")
	case b.Address == "":
	case err != nil:
		d.failAt(join(path, "address"), "%s", err)
	case !isLoopback(host):
		d.failAt(join(path, "address"), "%.80s is another machine, and the public development key is for this one only: "+
			"give the broker a policy of its own, and write connectionString: ${env:NAME}", b.Address)
	}
}

func (d *decoder) checkKafka(k *Kafka, path string) {
	away := false
	for n, broker := range k.Brokers {
		host, _, err := splitAddress(broker)
		if err != nil {
			d.failAt(item(join(path, "brokers"), n), "%s", err)
			continue
		}
		away = away || !isLoopback(host)
	}
	switch {
	case k.TLS != nil || !away:
	case k.SASL != nil:
		d.failAt(join(path, "sasl"), "would send a password that can be read on the way; write tls: {} beside it, with caFile if the authority is your own")
	default:
		d.warnAt(path, "has no tls, so messages can be read on the way")
	}
}

// checkRoute gives the route with its hub filled in.
func (d *decoder) checkRoute(name string, r Route, c *Config) Route {
	path := join("routes", name)
	if !jwt.IsHubName(name) {
		d.failAt(path, "cannot be a hub's public name, which has 1 to 256 of A-Z a-z 0-9 . _ -")
	}
	t, ok := c.Targets[r.Target]
	if len(c.Targets) > 0 && !ok && r.Target != "" {
		names := slices.Sorted(maps.Keys(c.Targets))
		d.failAt(join(path, "target"), "there is no target %.80q%s", r.Target, orElse(d.guess(r.Target, names), names))
	}
	at := join(path, "hub")
	if r.Hub == "" && t.EventHubs != nil && t.EventHubs.Hub != "" {
		r.Hub = t.EventHubs.Hub
	} else if r.Hub == "" {
		r.Hub, at = name, path
	}
	check := checkHub
	if t.Kafka != nil {
		check = checkTopic
	}
	if err := check(r.Hub); err != nil && ok {
		d.failAt(at, "%s", err)
	}
	return r
}

// checkUse warns of what is there for nothing.
func (d *decoder) checkUse(c *Config) {
	used := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		used[c.Routes[name].Target] = true
		if !slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.lets(name) }) && len(c.Rules) > 0 {
			d.warnAt(join("routes", name), "no rule lets anybody send to this hub")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		if !used[name] {
			d.warnAt(join("targets", name), "no route leads to this target")
		}
	}
}

// checkLimits is about limits that leave no room for each other. The numbers are package gateway's, which a test of package service holds
// against these: a request costs its body twice where it is taken apart, 512 bytes for each message of a batch, and 8 KiB.
func (d *decoder) checkLimits(c *Config) {
	l := &c.Limits
	largest := 2*max(l.Body, l.Batch) + 512*setting.Bytes(l.Items) + 8<<10
	if share := setting.Bytes(float64(l.InFlight) * l.PrincipalShare); share < largest {
		d.failAt("limits.inFlight", "is too little: one caller may hold %s of it (principalShare %g), and the largest request needs %d bytes",
			share, l.PrincipalShare, largest)
	}
	if c.Drain.Wait >= c.Drain.Total {
		d.failAt("drain.wait", "%s is all of drain.total, %s, and leaves no time to finish requests", c.Drain.Wait, c.Drain.Total)
	}
}
