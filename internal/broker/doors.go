package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/admin"
	"github.com/evhub-dev/evhub/internal/config"
)

// The doors, by the names that the banner and the log give them.
const (
	AMQP  = "AMQP"
	API   = "API"
	Admin = "ADMIN"
)

// neighbourTime is for asking who has a port.
const neighbourTime = 500 * time.Millisecond

// door is one protocol's way in.
type door struct {
	name  string
	flag  string // of the command line, that says where it listens
	port  int    // default
	moves bool   // to a free port where the default one is taken; one that was asked for must bind in any case
	asked func(config.Listeners) []string
	serve func(*Broker, net.Listener) error // until the listener is closed
}

// doors is the one list of them, in the order in which the banner has them.
func (o Options) doors() []door {
	list := []door{
		{AMQP, "--listen-amqp", 5672, false,
			func(l config.Listeners) []string { return l.AMQP },
			func(b *Broker, ln net.Listener) error { return b.engine.Serve(ln) }},
		{API, "--listen-api", 8080, true,
			func(l config.Listeners) []string { return l.API },
			func(b *Broker, ln net.Listener) error { return b.notifications.http.Serve(ln) }},
		{Admin, "--listen-admin", 5300, false,
			func(l config.Listeners) []string { return l.Admin },
			func(b *Broker, ln net.Listener) error { return b.http.Serve(ln) }},
	}
	if !o.develops() {
		list = slices.DeleteFunc(list, func(d door) bool { return d.name == API })
	}
	return list
}

// addresses is where the door shall listen, and whether someone asked for that.
func (d door) addresses(c *config.Config) (list []string, asked bool) {
	if list := d.asked(c.Evhub.Listeners); len(list) > 0 {
		return list, true
	}
	return []string{net.JoinHostPort(localhost, strconv.Itoa(d.port))}, false
}

// checkReach refuses to hand out the public keys' rights beyond this machine.
func checkReach(o Options) error {
	if o.Dev || !o.develops() {
		return nil
	}
	for _, d := range o.doors() {
		list, _ := d.addresses(o.Config)
		for _, address := range list {
			host, _, err := net.SplitHostPort(address)
			if err != nil || isLoopback(host) {
				continue
			}
			why := "can be reached from other machines"
			if _, err := netip.ParseAddr(host); err != nil && host != "" {
				why = "is taken to be reached from other machines, as names but localhost are not looked up"
			}
			return &Error{
				Text: fmt.Sprintf("%s at %s %s, and the development keys are public", d.name, address, why),
				Hint: "put policies of your own into the configuration (Evhub.Policies), or say --dev (EVHUB_DEV=1) to let everyone in",
			}
		}
	}
	return nil
}

// warnReach says where the public keys' rights are handed out beyond this machine.
func (b *Broker) warnReach() {
	if b.OwnPolicies() {
		return
	}
	var open []string
	for _, d := range b.o.doors() {
		for _, ln := range b.listeners[d.name] {
			if host, _, err := net.SplitHostPort(ln.Addr().String()); err == nil && !isLoopback(host) {
				open = append(open, d.name+" "+ln.Addr().String())
			}
		}
	}
	if open != nil {
		b.log.Warn("reachable from other machines with the public key", "open", strings.Join(open, ", "))
	}
}

// isLoopback does not look up names: what they mean may change.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == localhost || err == nil && ip.Unmap().IsLoopback()
}

// bind opens the door's listeners.
func (b *Broker) bind(ctx context.Context, d door) error {
	addresses, asked := d.addresses(b.o.Config)
	for _, address := range addresses {
		list, err := listen(ctx, address)
		if err == nil {
			b.listeners[d.name] = append(b.listeners[d.name], list...)
			continue
		}
		if asked || !d.moves || !isTaken(err) {
			return b.refused(ctx, d, address, err)
		}
		elsewhere := net.JoinHostPort(localhost, "0")
		if list, err = listen(ctx, elsewhere); err != nil {
			return b.refused(ctx, d, elsewhere, err)
		}
		b.listeners[d.name] = list
		b.log.Warn("the usual port is taken by another process; listening elsewhere", "door", d.name, "usual", d.port, "address", list[0].Addr(), "change", d.flag)
	}
	return nil
}

// refused has the flags of all doors that may be refused next: another broker has the ports of all that nobody placed.
func (b *Broker) refused(ctx context.Context, d door, address string, err error) *Error {
	e := &Error{Text: fmt.Sprintf("%s cannot listen on %s", d.name, address), Err: cause(err)}
	advice := "choose another place, or let the system choose"
	if isTaken(err) {
		e.Err = errors.New("the port is taken by another process")
		if neighbour := b.neighbour(ctx); neighbour != "" {
			advice = "an evhub runs already, with its admin port at " + neighbour + "; for one beside it"
		}
	}
	var flags []string
	for _, other := range b.o.doors() {
		_, asked := other.addresses(b.o.Config)
		if other.name == d.name || isTaken(err) && !asked && b.listeners[other.name] == nil {
			flags = append(flags, other.flag+" 127.0.0.1:0")
		}
	}
	e.Hint = advice + ": evhub serve " + strings.Join(flags, " ")
	return e
}

// neighbour is where the admin door of this broker should be and that of another one is, "" if there is none.
func (b *Broker) neighbour(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, neighbourTime)
	defer cancel()
	for _, d := range b.o.doors() {
		list, _ := d.addresses(b.o.Config)
		for _, address := range list {
			if d.name == Admin && admin.Answers(ctx, address) {
				return address
			}
		}
	}
	return ""
}

// Address is a host:port of the door that programs on this machine can dial, "" for one that is not there.
func (b *Broker) Address(door string) string {
	if list := b.listeners[door]; len(list) > 0 {
		return dialable(list[0].Addr())
	}
	return ""
}

// dialable is loopback for a listener that is everywhere, which not every system takes as a destination.
func dialable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil || !isEverywhere(host) {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// Host is Address for people: localhost where that reaches the door.
func (b *Broker) Host(door string) string {
	address := b.Address(door)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, d := range b.o.doors() {
		list, _ := d.addresses(b.o.Config)
		host, _, err := net.SplitHostPort(list[0])
		if d.name == door && err == nil && (host == localhost || isEverywhere(host)) {
			return net.JoinHostPort(localhost, port)
		}
	}
	return address
}
