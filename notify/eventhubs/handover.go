package eventhubs

import "github.com/Azure/go-amqp"

// handover knows whether a batch has been given to a link, and gives it to one only once.
//
// The SDK does not tell: an error may come before anything was written and after, with the same type and text, and when a link is detached
// under a batch the SDK opens another and sends the batch again, though the first copy may be stored. What it does each time before it
// writes is encode the batch, and with it the message-id of the batch's first event. So that id is of a type that encodes itself and
// watches. All this happens on the goroutine that sends.
type handover struct {
	sending bool // before that, encoding is only for the size
	done    bool
}

// pass is called when the batch is encoded.
func (h *handover) pass() error {
	if h.sending && h.done {
		return errSentBefore{}
	}
	h.done = h.sending
	return nil
}

// errSentBefore ends the SDK's second try. NonRetriable is the Azure SDKs' mark for errors that are nobody's fault: without it this one
// would cost the connection.
type errSentBefore struct{}

func (errSentBefore) Error() string { return "the link was lost before the hub answered" }
func (errSentBefore) NonRetriable() {}

// output is what we use of the buffer that go-amqp encodes into, a type of its internals which nobody else can name.
type output interface {
	AppendByte(byte)
	AppendString(string)
	AppendUint32(uint32)
}

// messageID is an AMQP message-id: a string, or null when it is empty, so that the SDK does not make one up. go-amqp lets values encode
// themselves that have this Marshal method. B is its buffer's type.
type messageID[B output] struct {
	text string
	of   *handover // nil, unless it is the first of a batch
}

// newMessageID learns B from a method that has it.
func newMessageID[B output](_ func(*amqp.Message, B) error, text string, of *handover) any {
	return &messageID[B]{text, of}
}

func (id *messageID[B]) String() string { return id.text }

// Marshal writes the id as AMQP 1.0 types 1.6.1 (null) and 1.6.20 (string) say.
func (id *messageID[B]) Marshal(out B) error {
	if id.of != nil {
		if err := id.of.pass(); err != nil {
			return err
		}
	}
	switch n := len(id.text); {
	case n == 0:
		out.AppendByte(0x40)
		return nil
	case n < 256:
		out.AppendByte(0xa1)
		out.AppendByte(byte(n))
	default:
		out.AppendByte(0xb1)
		out.AppendUint32(uint32(n))
	}
	out.AppendString(id.text)
	return nil
}
