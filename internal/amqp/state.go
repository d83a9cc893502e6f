package amqp

import "fmt"

// DeliveryState is the state or outcome of a delivery [3.4], [4.5]. The zero value is null. Accepted, released and modified without
// annotations do not allocate.
type DeliveryState struct {
	Code               Code           // which state it is, and so which of the fields below have a meaning; 0 is null
	Error              *Error         // rejected: why
	SectionNumber      uint32         // received: how far
	SectionOffset      uint64         // received
	DeliveryFailed     Opt[bool]      // modified
	UndeliverableHere  Opt[bool]      // modified
	MessageAnnotations Map            // modified
	TxnID              []byte         // declared, transactional-state
	Outcome            *DeliveryState // transactional-state
}

// Accepted is the outcome of a delivery that was taken.
func Accepted() DeliveryState { return DeliveryState{Code: CodeAccepted} }

// Released is the outcome of a delivery that was given back untouched.
func Released() DeliveryState { return DeliveryState{Code: CodeReleased} }

// Rejected is the outcome of a delivery that cannot be taken. Some clients need err not to be nil.
func Rejected(err *Error) DeliveryState { return DeliveryState{Code: CodeRejected, Error: err} }

// Append writes null for a nil s and for one without a code.
func (s *DeliveryState) Append(b []byte) []byte {
	if s == nil || s.Code == 0 {
		return AppendNull(b)
	}
	b, mark := beginComposite(b, s.Code)
	switch s.Code {
	case CodeAccepted, CodeReleased:
		return EndList(b, mark, 0)
	case CodeRejected:
		return EndList(s.Error.Append(b), mark, 1)
	case CodeReceived:
		b = AppendUlong(AppendUint(b, s.SectionNumber), s.SectionOffset)
		return EndList(b, mark, 2)
	case CodeModified:
		b = appendOpt(b, s.DeliveryFailed, AppendBool)
		b = appendOpt(b, s.UndeliverableHere, AppendBool)
		b = appendUnlessNil(b, s.MessageAnnotations, appendMap)
		return EndList(b, mark, 3)
	case CodeDeclared:
		return EndList(AppendBinary(b, s.TxnID), mark, 1)
	case CodeTransactionalState:
		b = s.Outcome.Append(AppendBinary(b, s.TxnID))
		return EndList(b, mark, 2)
	}
	panic(fmt.Sprintf("BUG: %s is not a delivery state", s.Code))
}

// Decode reads a state that is not null. It copies, but allocates only for an error, a map or a transaction.
func (s *DeliveryState) Decode(b []byte) (rest []byte, err error) {
	var f fields
	f.open(b)
	*s = DeliveryState{Code: f.of}
	switch f.of {
	case CodeAccepted, CodeReleased:
	case CodeRejected:
		s.Error = nested[Error](&f)
	case CodeReceived:
		s.SectionNumber = required(&f, "section-number", ReadUint)
		s.SectionOffset = required(&f, "section-offset", ReadUlong)
	case CodeModified:
		s.DeliveryFailed = optional(&f, "delivery-failed", ReadBool)
		s.UndeliverableHere = optional(&f, "undeliverable-here", ReadBool)
		s.MessageAnnotations = orZero(&f, "message-annotations", ReadMap)
	case CodeDeclared:
		s.TxnID = required(&f, "txn-id", readBinaryCopy)
	case CodeTransactionalState:
		s.TxnID = required(&f, "txn-id", readBinaryCopy)
		s.Outcome = orZero(&f, "outcome", readOutcome)
	default:
		f.fail(&DecodeError{CondNotImplemented, f.of.String() + " is not a delivery state"})
	}
	return f.done()
}

// decodeField reads a state that may be null.
func (s *DeliveryState) decodeField(f *fields) {
	if f.null() {
		*s = DeliveryState{}
		return
	}
	rest, err := s.Decode(f.b)
	if f.b = rest; err != nil {
		f.failField("state", err)
	}
}

// readOutcome reads a state that ends a delivery [3.4]; so transactional states do not nest.
func readOutcome(b []byte) (*DeliveryState, []byte, error) {
	code, err := PeekCode(b)
	if err != nil {
		return nil, nil, err
	}
	switch code {
	case CodeAccepted, CodeRejected, CodeReleased, CodeModified:
		s := new(DeliveryState)
		rest, err := s.Decode(b)
		return s, rest, err
	}
	return nil, nil, decodeErrorf("%s is not an outcome", code)
}

func readBinaryCopy(b []byte) ([]byte, []byte, error) {
	v, rest, err := ReadBinary(b)
	return append([]byte{}, v...), rest, err
}
