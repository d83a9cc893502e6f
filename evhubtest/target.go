package evhubtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/evhub-dev/evhub/internal/auth"
)

// Target is Start, unless the variable EVHUBTEST_TARGET says otherwise, so that one suite can be held against the real service:
//
//	inproc    a broker in this process; the default
//	emulator  the official emulator, or an evhub, at EVHUBTEST_CONNECTION_STRING, or where the emulator listens by itself
//	azure     the namespace of EVHUBTEST_CONNECTION_STRING, whose policy needs the rights Send and Listen
//
// The hubs must be there; other options do not count. Record reads them over AMQP from a mark on, so that what others sent before does not
// count; what others send meanwhile does. Each recorder takes one of the five places that a partition has for readers of $Default. Fault and
// WaitReaders skip the test. Outside of this process a test needs package azclient, which
// speaks AMQP for this one; importing it is enough.
func Target(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	const targetVariable, stringVariable = "EVHUBTEST_TARGET", "EVHUBTEST_CONNECTION_STRING"
	text := os.Getenv(stringVariable)
	target := os.Getenv(targetVariable)
	switch target {
	case "", "inproc":
		return Start(t, opts...)
	case "emulator":
		if text == "" {
			text = auth.ConnectionString{Host: "localhost", KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}.Encode()
		}
	case "azure":
		if text == "" {
			t.Fatalf("evhubtest: %s=azure needs %s, the connection string of an Event Hubs namespace", targetVariable, stringVariable)
		}
	default:
		t.Fatalf("evhubtest: %s=%.40q is no target; there are inproc, emulator and azure", targetVariable, target)
	}
	b, err := newRemote(target, text)
	if err != nil {
		t.Fatalf("evhubtest: %s=%s: %v", targetVariable, target, err)
	}
	b.t = t
	t.Cleanup(func() {
		t.Helper()
		ctx, cancel := b.within()
		defer cancel()
		if err := b.remote.wire.Close(ctx); err != nil {
			t.Error("evhubtest: closing the clients of the recorders: ", err)
		}
	})
	return b
}

// Remote speaks AMQP to a namespace outside of this process. Package azclient has the one there is, over the official SDK.
type Remote interface {
	// Positions gives, by partition, the sequence number that the next event of a hub will get.
	Positions(ctx context.Context, hub string) ([]int64, error)
	// Read gives each event of a partition to take, from a sequence number on, until ctx ends or take fails, and returns that error.
	Read(ctx context.Context, hub string, partition int, from int64, take func(Event) error) error
	// Publish sends events. It returns when all are stored.
	Publish(ctx context.Context, hub string, events []Event) error
	// Close ends all that the others have opened.
	Close(ctx context.Context) error
}

// openRemote is set by init functions only.
var openRemote func(connectionString string) (Remote, error)

// RegisterRemote says how Target reaches an emulator or Azure. It is for the init function of a package that implements Remote, as drivers
// register with database/sql, and panics if there is one already. connectionString is of a namespace.
func RegisterRemote(open func(connectionString string) (Remote, error)) {
	if openRemote != nil {
		panic("evhubtest: RegisterRemote was called twice")
	}
	openRemote = open
}

// remote is a namespace that somebody else runs.
type remote struct {
	target string
	cs     auth.ConnectionString
	wire   Remote
}

func newRemote(target, text string) (*Broker, error) {
	cs, err := auth.ParseConnectionString(text)
	if err != nil {
		return nil, err
	}
	if openRemote == nil {
		return nil, errors.New(`to read from there the test must import _ "github.com/evhub-dev/evhub/evhubtest/azclient"`)
	}
	wait, err := waitMax()
	if err != nil {
		return nil, err
	}
	namespace := cs
	namespace.EntityPath = ""
	wire, err := openRemote(namespace.Encode())
	if err != nil {
		return nil, err
	}
	return &Broker{wait: wait, remote: &remote{target: target, cs: cs, wire: wire}}, nil
}

func (r *remote) connectionString(hub string) (string, error) {
	if err := r.check(hub); err != nil {
		return "", err
	}
	cs := r.cs
	cs.EntityPath = hub
	return cs.Encode(), nil
}

// check refuses a hub that the connection string does not open.
func (r *remote) check(hub string) error {
	if r.cs.EntityPath != "" && hub != r.cs.EntityPath {
		return fmt.Errorf("EVHUBTEST_CONNECTION_STRING is for the hub %q only (EntityPath), not for %q", r.cs.EntityPath, hub)
	}
	return nil
}

func (r *remote) positions(ctx context.Context, hub string) ([]int64, error) {
	if err := r.check(hub); err != nil {
		return nil, err
	}
	next, err := r.wire.Positions(ctx, hub)
	if err != nil {
		return nil, fmt.Errorf("reading where the partitions of %s end: %w", hub, err)
	}
	return next, nil
}

func (r *remote) publish(ctx context.Context, hub string, events []Event) error {
	if err := r.check(hub); err != nil {
		return err
	}
	return r.wire.Publish(ctx, hub, events)
}
