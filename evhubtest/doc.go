// Package evhubtest is a test kit for code that talks to Azure Event Hubs: a broker in the test's own process, which every official SDK
// takes for the service, recorders in place of sleeps, and faults on demand.
//
//	func TestNotifier(t *testing.T) {
//		b := evhubtest.Start(t, evhubtest.Hub("orders", 4))
//		rec := b.Record(t, "orders")
//		notify(b.ConnectionString("orders"), order{ID: "7", State: "paid"}) // your code, with the SDK it always uses
//		rec.WantExactly(t, 1, evhubtest.Subset(map[string]any{"ID": "7"}))
//	}
//
// What a test needs of it, and what keeps that true:
//   - It starts in microseconds and shares nothing: each test has a broker, hubs and a key of its own, so that all may run in parallel.
//     There is no state to reset, and no port before ConnectionString asks for one.
//   - It never sleeps and never polls. A recorder begins at a mark, so it misses nothing however early the event comes; a Want returns with
//     the event that completes it; WaitReaders says when a reader is attached and may be sent to.
//   - A failure says why: the events that came closest and what differs in them, who was refused, which fault answered, what went to
//     another hub; then what happened on the wire, and the seed that repeats it.
//   - A fault happens on the wire, so that the client under test goes through its own retries: see Broker.Fault.
//   - A test leaves nothing behind: a client that nobody closed and a fault that did not fire fail it.
//
// # Fake time
//
// In a testing/synctest bubble time is fake, and a minute of back-off takes none. Bubble starts a broker in one. Clients must dial in memory
// there, which the official Go SDK can: see package azclient. A missing event fails at once, and WantNone is proof: all goroutines wait.
//
// # Variables
//
//	EVHUBTEST_WAIT               the longest that a Want waits, 5s by default
//	EVHUBTEST_TARGET             where Target finds its broker: inproc, emulator or azure
//	EVHUBTEST_CONNECTION_STRING  of the emulator's or Azure's namespace
//
// The package uses the standard library and nothing else. What it has in Go, `evhub serve` has over HTTP for other languages.
package evhubtest
