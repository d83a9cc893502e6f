package hub

import "time"

// Op is a point at which a door asks for a verdict.
type Op uint8

const (
	Connect Op = iota // a connection was accepted, or opened by the protocol's first words
	Auth              // a credential was presented
	Attach            // a link is about to be opened
	Send              // events came in and are about to be stored
	Stored            // events are stored and not yet acknowledged
	Deliver           // events are about to go out to a reader
	Manage            // a management request came in
	opCount
)

var opNames = [opCount]string{"connect", "auth", "attach", "send", "stored", "deliver", "manage"}

// Ops lists all points.
func Ops() []Op {
	ops := make([]Op, opCount)
	for i := range ops {
		ops[i] = Op(i)
	}
	return ops
}

func (o Op) String() string {
	if o >= opCount {
		return "op?"
	}
	return opNames[o]
}

// Subject says what a door is about to do. What is not known at a point is empty; Partition is then -1.
type Subject struct {
	Op        Op
	Namespace string
	Hub       string
	Partition int    // -1: none or any
	Group     string // readers only
	Client    string // container id
	Agent     string // what the client calls its software (user-agent), "" if it does not say
	Link      string // link name; of Auth what the credential is for
	Records   int    // Send, Stored and Deliver: how many events
}

// Action is what a door does instead of going on.
type Action uint8

const (
	Pass      Action = iota // go on
	Refuse                  // answer this operation with Err and keep link and connection
	Detach                  // end the link with Err
	CloseConn               // end the connection with Err
	Drop                    // cut the socket without a word
	Swallow                 // take it and never answer
	Expire                  // act as if the token the operation rests on had just run out
	Rewind                  // Deliver only: go Back records back, then deliver
)

// Verdict is a rule's answer. The zero Verdict lets the operation pass.
type Verdict struct {
	Action    Action
	Err       *Error        // for Refuse, Detach and CloseConn; nil: the door chooses
	Condition string        // exact protocol condition wished, "": the door's word for Err.Kind
	Delay     time.Duration // before acting or passing
	Back      int64         // Rewind: how many records
}

// Rules decide about operations: faults on demand, limits of a tier. Ask runs on the goroutine of the operation while no lock is
// held; it may not block, and it may call the hall. The Subject is the caller's again when Ask returns.
type Rules interface {
	Ask(*Subject) Verdict
}

// Report tells what became of an operation in the eyes of the peer. An operation that rules refused is reported as any other. What befalls
// a link between operations is reported as its next Send or Deliver. Hub is the name the peer asked for, whether there is such a hub or not.
type Report struct {
	Subject
	Err       *Error // what the peer was told; nil: done
	Condition string // the protocol's own word for Err, as it was sent; "" if there was none
}

// SetRules puts r in charge; nil switches rules off. Operations that were already asked about keep their verdict.
func (h *Hall) SetRules(r Rules) {
	if r == nil {
		h.rules.Store(nil)
		return
	}
	h.rules.Store(&r)
}

// Rules gives the rules in charge, or nil. It costs one atomic load.
func (h *Hall) Rules() Rules {
	r := h.rules.Load()
	if r == nil {
		return nil
	}
	return *r
}

// SetReports has tell called with what became of operations; nil switches it off. tell may not block, and must copy what it keeps.
func (h *Hall) SetReports(tell func(*Report)) {
	if tell == nil {
		h.reports.Store(nil)
		return
	}
	h.reports.Store(&tell)
}

// Reports gives the function doors tell the end of an operation to, or nil. It costs one atomic load.
func (h *Hall) Reports() func(*Report) {
	tell := h.reports.Load()
	if tell == nil {
		return nil
	}
	return *tell
}
