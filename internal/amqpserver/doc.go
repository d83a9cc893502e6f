// Package amqpserver is an AMQP 1.0 connection, session and link engine for the listening side.
//
// It speaks the transport and security parts of the specification (OASIS AMQP 1.0, parts 2 and 5) and knows nothing of Event Hubs: what
// stands behind an address is the business of a Container, which gets every attach and answers with a Sink (the client sends) or a
// Source (the client receives).
//
// What its users need: every official client library gets through its handshake however it pipelines; an acknowledgement is sent as
// soon as it is known; a slow or silent peer costs bounded memory and never delays another connection; a wrong frame is answered with
// the right error at the right scope (link, session, connection) and in the log.
//
// # Owners
//
// Two goroutines own a connection, its reader and its writer. There is no goroutine per session, link or event.
//
//	reader    frames in, sessions and links by the peer's numbers, the credit we granted, calls to Container and Sink
//	writer    all writing that may have to wait
//	writing   the socket's outgoing side: delivery ids, calls to Source.Fill
//	mu        everything others touch: encoded answers, settlements, flows that are due, ready links, the peer's credit and windows
//
// All else that happens to a connection (an append done, a log grown, a reader displaced, a token expired, a heartbeat due) takes mu,
// changes a field, signals the writer and returns, but for Link.ReadyNow. mu is held for nanoseconds: never across I/O, never while calling a Container, Sink
// or Source.
//
// The socket is whose who holds Conn.writing. That is the writer, but for two moments when it is asleep: at the end of a burst the reader
// tries to write what there is to answer, and in Link.ReadyNow the caller tries to write deliveries, both as far as the socket takes it at
// once. So a client that waits for each acknowledgement, and one that waits for each event, wait for one goroutine less.
//
// # Order of what goes out
//
// One round of writing puts out, in this order: answers in the order they were queued, dispositions, flows, deliveries. Dispositions
// that must not be overtaken by an answer (a detach, an end) are encoded in front of it when that is queued. The answer to a drain goes
// right behind the link's last delivery.
//
// # What has come in
//
// The reader counts bytes twice: as read, and as looked at whenever it goes to read again with no whole frame left and every burst handed
// on. Server.Fence waits for the second count to reach the first, and what waits in the socket.
//
// # Bounds
//
//   - Bytes delivered to sinks but not yet settled: Options.InflightBytesMax; above it the reader stops reading its socket.
//   - Encoded answers and settlements that the peer does not read: above pendingBytesMax the reader stops as well, so a peer that writes
//     without reading stops itself.
//   - A delivery in several frames: the link's limit, and partialBytesMax for all links of a connection together.
//   - What a socket did not take at once: at most one burst and what may be pending once more, and the writer has it before all else.
//   - Deliveries: the writer stops pulling from sources while its socket does not take what it wrote.
package amqpserver
