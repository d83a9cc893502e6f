package kit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/hub"
)

// doKind is what a fault does.
type doKind uint8

const (
	throttle doKind = iota + 1
	reject
	detach
	closeConn
	drop
	ackLost
	blackhole
	delay
	expireToken
	stealEpoch
	redeliver
	doCount
)

// deeds say of each kind its name and the operations it has an effect on.
var deeds = [doCount]struct {
	name string
	on   []Op
}{
	throttle:    {"throttle", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	reject:      {"reject", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	detach:      {"detach", []Op{Attach, Send, Deliver}},
	closeConn:   {"close-connection", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	drop:        {"drop", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	ackLost:     {"ack-lost", []Op{Send}},
	blackhole:   {"blackhole", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	delay:       {"delay", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	expireToken: {"expire-token", []Op{Connect, Auth, Attach, Send, Deliver, Manage}},
	stealEpoch:  {"steal-epoch", []Op{Attach, Deliver}},
	redeliver:   {"redeliver", []Op{Deliver}},
}

// Do is what a fault does. The zero value is none; the functions below make one. What each means for a client stands where its users read it:
// at the function of the same name in package evhubtest.
type Do struct {
	kind      doKind
	condition string
	text      string
	wait      time.Duration
	jitter    time.Duration
	level     int64
	back      int64
}

// Throttle answers that the server is busy.
func Throttle() Do { return Do{kind: throttle} }

// Reject answers with a condition of one's own.
func Reject(condition, text string) Do { return Do{kind: reject, condition: condition, text: text} }

// Detach ends the link.
func Detach(condition, text string) Do { return Do{kind: detach, condition: condition, text: text} }

// CloseConn ends the connection; "" is amqp:connection:forced.
func CloseConn(condition string) Do {
	if condition == "" {
		condition = string(amqp.CondConnectionForced)
	}
	return Do{kind: closeConn, condition: condition}
}

// Drop cuts the socket before anything is stored.
func Drop() Do { return Do{kind: drop} }

// AckLost cuts the socket once all is stored.
func AckLost() Do { return Do{kind: ackLost} }

// Blackhole never answers.
func Blackhole() Do { return Do{kind: blackhole} }

// Delay lets the operation pass after d and up to jitter more, by the broker's clock.
func Delay(d, jitter time.Duration) Do { return Do{kind: delay, wait: d, jitter: jitter} }

// ExpireToken acts as if the token had run out.
func ExpireToken() Do { return Do{kind: expireToken} }

// StealEpoch is another reader that takes the place of this one.
func StealEpoch(level int64) Do { return Do{kind: stealEpoch, level: level} }

// Redeliver goes back so many events before the next one.
func Redeliver(back int64) Do { return Do{kind: redeliver, back: back} }

// Kind is the deed's name as in JSON: "throttle", "ack-lost".
func (d Do) Kind() string { return deeds[d.kind].name }

// MarshalJSON shows the deed as ParseFault reads it.
func (d Do) MarshalJSON() ([]byte, error) {
	v := struct {
		Type      string `json:"type"`
		Condition string `json:"condition,omitempty"`
		Text      string `json:"text,omitempty"`
		Duration  string `json:"duration,omitempty"`
		Jitter    string `json:"jitter,omitempty"`
		Level     *int64 `json:"level,omitempty"`
		Back      int64  `json:"back,omitempty"`
	}{Type: d.Kind(), Condition: d.condition, Text: d.text, Back: d.back}
	if d.kind == delay {
		v.Duration = d.wait.String()
	}
	if d.jitter > 0 {
		v.Jitter = d.jitter.String()
	}
	if d.kind == stealEpoch {
		v.Level = &d.level
	}
	return encodeJSON(v)
}

// String is the kind with what matters of it.
func (d Do) String() string {
	switch d.kind {
	case reject, detach, closeConn:
		return d.Kind() + " " + d.condition
	case delay:
		if d.jitter > 0 {
			return fmt.Sprintf("delay %v to %v", d.wait, d.wait+d.jitter)
		}
		return fmt.Sprintf("delay %v", d.wait)
	case stealEpoch:
		return fmt.Sprintf("steal-epoch %d", d.level)
	case redeliver:
		return fmt.Sprintf("redeliver %d", d.back)
	}
	return d.Kind()
}

// check says what is wrong with the deed, alone or on this operation.
func (d *Do) check(op Op) error {
	switch d.kind {
	case reject, detach, closeConn:
		if err := checkCondition(d.condition); err != nil {
			return err
		}
	case delay:
		if d.wait < 0 || d.jitter < 0 || d.wait+d.jitter <= 0 {
			return invalid("A delay of %v with a jitter of %v is none; give a time above 0.", d.wait, d.jitter)
		}
	case redeliver:
		if d.back < 1 {
			return invalid("To deliver again, go back 1 event or more, not %d.", d.back)
		}
	case stealEpoch:
		if d.level < 0 {
			return invalid("An epoch cannot be negative: %d.", d.level)
		}
	}
	if op == AnyOp || d.has(op) {
		return nil
	}
	var names []string
	for _, op := range deeds[d.kind].on {
		names = append(names, op.String())
	}
	return invalid("%s has no effect on %s; it acts on %s.", d.Kind(), op, strings.Join(names, ", "))
}

func checkCondition(condition string) error {
	const bytesMax = 128
	if condition == "" || len(condition) > bytesMax {
		return invalid("A condition has 1 to %d characters, like amqp:not-found or com.microsoft:server-busy.", bytesMax)
	}
	for _, c := range []byte(condition) {
		if c <= ' ' || c > '~' {
			return invalid("The condition %q is not an AMQP symbol: it must be visible ASCII, like amqp:not-found.", condition)
		}
	}
	return nil
}

func (d *Do) has(op Op) bool {
	for _, on := range deeds[d.kind].on {
		if on == op {
			return true
		}
	}
	return false
}

// actsOn says whether the deed has its effect at this question of a door.
func (d *Do) actsOn(q *hub.Subject) bool {
	switch {
	case (q.Op == hub.Stored) != (d.kind == ackLost):
		return false
	case d.kind == stealEpoch && q.Group == "":
		return false // a sender has no place to lose
	}
	return d.has(opOf(q.Op))
}

// refuses says whether the door tells the peer an error and reports that.
func (d *Do) refuses(q *hub.Subject) bool {
	switch d.kind {
	case throttle, reject, detach, closeConn, expireToken:
		return true
	case stealEpoch:
		return q.Op == hub.Attach // at Deliver the victim hears of it from the hall
	}
	return false
}

// verdict is what the door is told, except for stealEpoch at Deliver.
func (d *Do) verdict(q *hub.Subject, draw *rand.Rand) hub.Verdict {
	fail := &hub.Error{Kind: hub.Busy, Text: d.text}
	switch d.kind {
	case throttle:
		fail.Text = fmt.Sprintf("The request was terminated because the namespace %s is being throttled. Error code : 50009. Please wait 2 seconds "+
			"and try again. To know more visit https://aka.ms/sbResourceMgrExceptions.", q.Namespace)
		return hub.Verdict{Action: hub.Refuse, Err: fail}
	case reject:
		return hub.Verdict{Action: hub.Refuse, Err: fail, Condition: d.condition}
	case detach:
		return hub.Verdict{Action: hub.Detach, Err: fail, Condition: d.condition}
	case closeConn:
		fail.Text = "The connection was closed by a fault of the test kit."
		return hub.Verdict{Action: hub.CloseConn, Err: fail, Condition: d.condition}
	case drop, ackLost:
		return hub.Verdict{Action: hub.Drop}
	case blackhole:
		return hub.Verdict{Action: hub.Swallow}
	case delay:
		return hub.Verdict{Delay: d.wait + jitter(d.jitter, draw)}
	case expireToken:
		return hub.Verdict{Action: hub.Expire}
	case redeliver:
		return hub.Verdict{Action: hub.Rewind, Back: d.back}
	case stealEpoch:
		fail.Kind = hub.EpochTooLow
		fail.Text = fmt.Sprintf("Receiver '%s' with a higher epoch '%d' already exists. Receiver '%s' cannot be created. Make sure you are creating "+
			"receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are closed or disconnected.",
			thiefName, d.level, q.Link)
		return hub.Verdict{Action: hub.Refuse, Err: fail}
	}
	panic("BUG: a fault without a deed")
}

func jitter(most time.Duration, draw *rand.Rand) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(draw.Int64N(int64(most) + 1))
}
