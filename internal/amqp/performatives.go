package amqp

import "encoding/binary"

// Role says which end of a link writes [2.8.1].
type Role bool

const (
	RoleSender   Role = false
	RoleReceiver Role = true
)

func readRole(b []byte) (Role, []byte, error) {
	v, rest, err := ReadBool(b)
	return Role(v), rest, err
}

// Open [2.7.1].
type Open struct {
	ContainerID         string
	Hostname            Opt[string]
	MaxFrameSize        Opt[uint32] // bytes; null is 4294967295
	ChannelMax          Opt[uint16] // null is 65535
	IdleTimeOut         Opt[uint32] // milliseconds
	OutgoingLocales     []Symbol
	IncomingLocales     []Symbol
	OfferedCapabilities []Symbol
	DesiredCapabilities []Symbol
	Properties          Map
}

func (p *Open) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeOpen)
	b = AppendString(b, p.ContainerID)
	b = appendOpt(b, p.Hostname, AppendString)
	b = appendOpt(b, p.MaxFrameSize, AppendUint)
	b = appendOpt(b, p.ChannelMax, AppendUshort)
	b = appendOpt(b, p.IdleTimeOut, AppendUint)
	b = AppendSymbols(b, p.OutgoingLocales)
	b = AppendSymbols(b, p.IncomingLocales)
	b = AppendSymbols(b, p.OfferedCapabilities)
	b = AppendSymbols(b, p.DesiredCapabilities)
	b = appendUnlessNil(b, p.Properties, appendMap)
	return EndList(b, mark, 10)
}

func (p *Open) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeOpen)
	*p = Open{
		ContainerID:         required(&f, "container-id", ReadString),
		Hostname:            optional(&f, "hostname", ReadString),
		MaxFrameSize:        optional(&f, "max-frame-size", ReadUint),
		ChannelMax:          optional(&f, "channel-max", ReadUshort),
		IdleTimeOut:         optional(&f, "idle-time-out", ReadUint),
		OutgoingLocales:     orZero(&f, "outgoing-locales", ReadSymbols),
		IncomingLocales:     orZero(&f, "incoming-locales", ReadSymbols),
		OfferedCapabilities: orZero(&f, "offered-capabilities", ReadSymbols),
		DesiredCapabilities: orZero(&f, "desired-capabilities", ReadSymbols),
		Properties:          orZero(&f, "properties", ReadMap),
	}
	return f.done()
}

// Begin [2.7.2].
type Begin struct {
	RemoteChannel       Opt[uint16] // set in an answer
	NextOutgoingID      uint32
	IncomingWindow      uint32 // transfer frames
	OutgoingWindow      uint32 // transfer frames
	HandleMax           Opt[uint32]
	OfferedCapabilities []Symbol
	DesiredCapabilities []Symbol
	Properties          Map
}

func (p *Begin) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeBegin)
	b = appendOpt(b, p.RemoteChannel, AppendUshort)
	b = AppendUint(b, p.NextOutgoingID)
	b = AppendUint(b, p.IncomingWindow)
	b = AppendUint(b, p.OutgoingWindow)
	b = appendOpt(b, p.HandleMax, AppendUint)
	b = AppendSymbols(b, p.OfferedCapabilities)
	b = AppendSymbols(b, p.DesiredCapabilities)
	b = appendUnlessNil(b, p.Properties, appendMap)
	return EndList(b, mark, 8)
}

func (p *Begin) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeBegin)
	*p = Begin{
		RemoteChannel:       optional(&f, "remote-channel", ReadUshort),
		NextOutgoingID:      required(&f, "next-outgoing-id", ReadUint),
		IncomingWindow:      required(&f, "incoming-window", ReadUint),
		OutgoingWindow:      required(&f, "outgoing-window", ReadUint),
		HandleMax:           optional(&f, "handle-max", ReadUint),
		OfferedCapabilities: orZero(&f, "offered-capabilities", ReadSymbols),
		DesiredCapabilities: orZero(&f, "desired-capabilities", ReadSymbols),
		Properties:          orZero(&f, "properties", ReadMap),
	}
	return f.done()
}

// Flow [2.7.4]. It does not allocate, unless there are properties.
type Flow struct {
	NextIncomingID Opt[uint32]
	IncomingWindow uint32
	NextOutgoingID uint32
	OutgoingWindow uint32
	Handle         Opt[uint32] // null: about the session only
	DeliveryCount  Opt[uint32]
	LinkCredit     Opt[uint32]
	Available      Opt[uint32]
	Drain          Opt[bool]
	Echo           Opt[bool]
	Properties     Map
}

func (p *Flow) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeFlow)
	b = appendOpt(b, p.NextIncomingID, AppendUint)
	b = AppendUint(b, p.IncomingWindow)
	b = AppendUint(b, p.NextOutgoingID)
	b = AppendUint(b, p.OutgoingWindow)
	b = appendOpt(b, p.Handle, AppendUint)
	b = appendOpt(b, p.DeliveryCount, AppendUint)
	b = appendOpt(b, p.LinkCredit, AppendUint)
	b = appendOpt(b, p.Available, AppendUint)
	b = appendOpt(b, p.Drain, AppendBool)
	b = appendOpt(b, p.Echo, AppendBool)
	b = appendUnlessNil(b, p.Properties, appendMap)
	return EndList(b, mark, 11)
}

func (p *Flow) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeFlow)
	*p = Flow{
		NextIncomingID: optional(&f, "next-incoming-id", ReadUint),
		IncomingWindow: required(&f, "incoming-window", ReadUint),
		NextOutgoingID: required(&f, "next-outgoing-id", ReadUint),
		OutgoingWindow: required(&f, "outgoing-window", ReadUint),
		Handle:         optional(&f, "handle", ReadUint),
		DeliveryCount:  optional(&f, "delivery-count", ReadUint),
		LinkCredit:     optional(&f, "link-credit", ReadUint),
		Available:      optional(&f, "available", ReadUint),
		Drain:          optional(&f, "drain", ReadBool),
		Echo:           optional(&f, "echo", ReadBool),
		Properties:     orZero(&f, "properties", ReadMap),
	}
	return f.done()
}

// Transfer [2.7.5]; the payload follows it in the frame. It does not allocate, unless its state does.
type Transfer struct {
	Handle        uint32
	DeliveryID    Opt[uint32] // set in the first frame of a delivery
	DeliveryTag   []byte      // nil is null; aliases the input of Decode
	MessageFormat Opt[uint32]
	Settled       Opt[bool]
	More          bool // never null, as recorded
	RcvSettleMode Opt[uint8]
	State         DeliveryState
	Resume        Opt[bool]
	Aborted       Opt[bool]
	Batchable     Opt[bool]
}

func (p *Transfer) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeTransfer)
	b = AppendUint(b, p.Handle)
	b = appendOpt(b, p.DeliveryID, AppendUint)
	b = appendUnlessNil(b, p.DeliveryTag, AppendBinary)
	b = appendOpt(b, p.MessageFormat, AppendUint)
	b = appendOpt(b, p.Settled, AppendBool)
	b = AppendBool(b, p.More)
	b = appendOpt(b, p.RcvSettleMode, AppendUbyte)
	b = p.State.Append(b)
	b = appendOpt(b, p.Resume, AppendBool)
	b = appendOpt(b, p.Aborted, AppendBool)
	b = appendOpt(b, p.Batchable, AppendBool)
	return EndList(b, mark, 11)
}

// DeliveryIDAt says where Append, whose output b is, wrote the four bytes of the delivery id. It is 0 for an id below 256, which has less.
func DeliveryIDAt(b []byte) int {
	const handleAt = 6 // behind descriptor, constructor, size and count
	at := handleAt
	switch b[at] {
	case ctorUint0:
		at++
	case ctorSmallUint:
		at += 2
	default:
		at += 5
	}
	if b[3] != ctorList8 || b[at] != ctorUint {
		return 0
	}
	return at + 1
}

func (p *Transfer) Decode(b []byte) (rest []byte, err error) {
	if rest, ok := p.decodeUsual(b); ok {
		return rest, nil
	}
	return p.decodeAny(b)
}

func (p *Transfer) decodeAny(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeTransfer)
	*p = Transfer{
		Handle:        required(&f, "handle", ReadUint),
		DeliveryID:    optional(&f, "delivery-id", ReadUint),
		DeliveryTag:   orZero(&f, "delivery-tag", ReadBinary),
		MessageFormat: optional(&f, "message-format", ReadUint),
		Settled:       optional(&f, "settled", ReadBool),
		More:          orZero(&f, "more", ReadBool),
		RcvSettleMode: optional(&f, "rcv-settle-mode", ReadUbyte),
	}
	p.State.decodeField(&f)
	p.Resume = optional(&f, "resume", ReadBool)
	p.Aborted = optional(&f, "aborted", ReadBool)
	p.Batchable = optional(&f, "batchable", ReadBool)
	return f.done()
}

// decodeUsual reads a transfer as all clients write one that carries an event: a short list in the shortest encodings. Everything else,
// right or wrong, is left to decodeAny: this is on the way of each event, and takes a fifth of the time.
func (p *Transfer) decodeUsual(b []byte) (rest []byte, ok bool) {
	const head, leading = 6, 6 // bytes of descriptor, constructor, size and count; fields up to more
	if len(b) < head || b[0] != ctorDescribed || b[1] != ctorSmallUlong || b[2] != byte(CodeTransfer) || b[3] != ctorList8 {
		return nil, false
	}
	end, fields := 5+int(b[4]), int(b[5])
	if end > len(b) || fields < leading || fields > 11 {
		return nil, false
	}
	*p = Transfer{}
	n := p.usualLeading(b[head:])
	if n == 0 || head+n+fields-leading != end { // each of the others takes a byte
		return nil, false
	}
	return b[end:], p.usualTrailing(b[head+n : end])
}

// usualLeading reads the fields from handle to more. It gives the bytes they take, or 0.
func (p *Transfer) usualLeading(f []byte) (n int) {
	var handle Opt[uint32]
	if handle, n = usualUint(f, 0); !handle.Set {
		return 0
	}
	p.Handle = handle.V
	if p.DeliveryID, n = usualUint(f, n); n == 0 || len(f) < n+2 {
		return 0
	}
	if f[n] == ctorNull {
		n++
	} else {
		at, end := n+2, n+2+int(f[n+1])
		if f[n] != ctorBinary8 || len(f) < end {
			return 0
		}
		p.DeliveryTag, n = f[at:end:end], end
	}
	if p.MessageFormat, n = usualUint(f, n); n == 0 || len(f) < n+2 {
		return 0
	}
	var settled, more bool
	p.Settled, settled = usualBool(f[n])
	p.More, more = f[n+1] == ctorTrue, f[n+1] == ctorTrue || f[n+1] == ctorFalse || f[n+1] == ctorNull
	if !settled || !more {
		return 0
	}
	return n + 2
}

// usualTrailing reads the fields behind more: rcv-settle-mode, state, resume, aborted, batchable.
func (p *Transfer) usualTrailing(f []byte) (ok bool) {
	for i, c := range f {
		if c == ctorNull {
			continue
		}
		v, ok := usualBool(c)
		switch {
		case !ok || i < 2:
			return false
		case i == 2:
			p.Resume = v
		case i == 3:
			p.Aborted = v
		default:
			p.Batchable = v
		}
	}
	return true
}

// usualUint reads a uint or null at n of b, and gives where it ends, or 0. There must be as many bytes as the longest of them takes, used
// or not.
func usualUint(b []byte, n int) (v Opt[uint32], end int) {
	if len(b) < n+5 {
		return v, 0
	}
	switch b[n] {
	case ctorUint:
		return Some(binary.BigEndian.Uint32(b[n+1:])), n + 5
	case ctorSmallUint:
		return Some(uint32(b[n+1])), n + 2
	case ctorUint0, ctorNull:
		return Opt[uint32]{Set: b[n] == ctorUint0}, n + 1
	}
	return v, 0
}

// usualBool reads a boolean of one byte or null.
func usualBool(c byte) (v Opt[bool], ok bool) {
	switch c {
	case ctorTrue:
		return Some(true), true
	case ctorFalse:
		return Some(false), true
	}
	return v, c == ctorNull
}

// Disposition [2.7.6]. It does not allocate, unless its state does.
type Disposition struct {
	Role      Role // of the end that sends it
	First     uint32
	Last      Opt[uint32] // null: First only
	Settled   Opt[bool]
	State     DeliveryState
	Batchable Opt[bool]
}

func (p *Disposition) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeDisposition)
	b = AppendBool(b, bool(p.Role))
	b = AppendUint(b, p.First)
	b = appendOpt(b, p.Last, AppendUint)
	b = appendOpt(b, p.Settled, AppendBool)
	b = p.State.Append(b)
	b = appendOpt(b, p.Batchable, AppendBool)
	return EndList(b, mark, 6)
}

func (p *Disposition) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeDisposition)
	*p = Disposition{
		Role:    required(&f, "role", readRole),
		First:   required(&f, "first", ReadUint),
		Last:    optional(&f, "last", ReadUint),
		Settled: optional(&f, "settled", ReadBool),
	}
	p.State.decodeField(&f)
	p.Batchable = optional(&f, "batchable", ReadBool)
	return f.done()
}

// Detach [2.7.7].
type Detach struct {
	Handle uint32
	Closed Opt[bool]
	Error  *Error
}

func (p *Detach) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeDetach)
	b = AppendUint(b, p.Handle)
	b = appendOpt(b, p.Closed, AppendBool)
	b = p.Error.Append(b)
	return EndList(b, mark, 3)
}

func (p *Detach) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeDetach)
	*p = Detach{
		Handle: required(&f, "handle", ReadUint),
		Closed: optional(&f, "closed", ReadBool),
		Error:  nested[Error](&f),
	}
	return f.done()
}

// End [2.7.8].
type End struct{ Error *Error }

func (p *End) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeEnd)
	return EndList(p.Error.Append(b), mark, 1)
}

func (p *End) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeEnd)
	*p = End{Error: nested[Error](&f)}
	return f.done()
}

// Close [2.7.9].
type Close struct{ Error *Error }

func (p *Close) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeClose)
	return EndList(p.Error.Append(b), mark, 1)
}

func (p *Close) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeClose)
	*p = Close{Error: nested[Error](&f)}
	return f.done()
}

// Error is what a peer is told when something fails [2.8.14].
type Error struct {
	Condition   Symbol
	Description string // "" is null
	Info        Map
}

func (e *Error) Error() string {
	if e.Description == "" {
		return string(e.Condition)
	}
	return string(e.Condition) + ": " + e.Description
}

// Append writes null for a nil e.
func (e *Error) Append(b []byte) []byte {
	if e == nil {
		return AppendNull(b)
	}
	b, mark := beginComposite(b, CodeError)
	b = AppendSymbol(b, e.Condition)
	b = appendUnlessEmpty(b, e.Description, AppendString)
	b = appendUnlessNil(b, e.Info, appendMap)
	return EndList(b, mark, 3)
}

func (e *Error) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeError)
	*e = Error{
		Condition:   required(&f, "condition", ReadSymbol),
		Description: orZero(&f, "description", ReadString),
		Info:        orZero(&f, "info", ReadMap),
	}
	return f.done()
}
