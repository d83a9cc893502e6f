package amqp

// Settle modes [2.8.2], [2.8.3].
const (
	SndUnsettled uint8 = 0
	SndSettled   uint8 = 1
	SndMixed     uint8 = 2 // what null means

	RcvFirst  uint8 = 0 // what null means
	RcvSecond uint8 = 1
)

// Attach [2.7.3].
type Attach struct {
	Name                 string
	Handle               uint32
	Role                 Role
	SndSettleMode        Opt[uint8]
	RcvSettleMode        Opt[uint8]
	Source               *Source // nil is null, as is Target
	Target               *Target
	Coordinator          bool // the target is a transaction coordinator [4.5.1], and Target is nil
	Unsettled            Map
	IncompleteUnsettled  Opt[bool]
	InitialDeliveryCount Opt[uint32]
	MaxMessageSize       Opt[uint64] // bytes; null and 0 are no limit
	OfferedCapabilities  []Symbol
	DesiredCapabilities  []Symbol
	Properties           Map
}

func (p *Attach) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeAttach)
	b = AppendString(b, p.Name)
	b = AppendUint(b, p.Handle)
	b = AppendBool(b, bool(p.Role))
	b = appendOpt(b, p.SndSettleMode, AppendUbyte)
	b = appendOpt(b, p.RcvSettleMode, AppendUbyte)
	b = p.Source.Append(b)
	if p.Coordinator {
		b = appendCoordinator(b)
	} else {
		b = p.Target.Append(b)
	}
	b = appendUnlessNil(b, p.Unsettled, appendMap)
	b = appendOpt(b, p.IncompleteUnsettled, AppendBool)
	b = appendOpt(b, p.InitialDeliveryCount, AppendUint)
	b = appendOpt(b, p.MaxMessageSize, AppendUlong)
	b = AppendSymbols(b, p.OfferedCapabilities)
	b = AppendSymbols(b, p.DesiredCapabilities)
	b = appendUnlessNil(b, p.Properties, appendMap)
	return EndList(b, mark, 14)
}

func (p *Attach) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeAttach)
	*p = Attach{
		Name:          required(&f, "name", ReadString),
		Handle:        required(&f, "handle", ReadUint),
		Role:          required(&f, "role", readRole),
		SndSettleMode: optional(&f, "snd-settle-mode", ReadUbyte),
		RcvSettleMode: optional(&f, "rcv-settle-mode", ReadUbyte),
		Source:        nested[Source](&f),
	}
	if code, err := PeekCode(f.b); err == nil && code == CodeCoordinator {
		p.Coordinator = orZero(&f, "target", readCoordinator)
	} else {
		p.Target = nested[Target](&f)
	}
	p.Unsettled = orZero(&f, "unsettled", ReadMap)
	p.IncompleteUnsettled = optional(&f, "incomplete-unsettled", ReadBool)
	p.InitialDeliveryCount = optional(&f, "initial-delivery-count", ReadUint)
	p.MaxMessageSize = optional(&f, "max-message-size", ReadUlong)
	p.OfferedCapabilities = orZero(&f, "offered-capabilities", ReadSymbols)
	p.DesiredCapabilities = orZero(&f, "desired-capabilities", ReadSymbols)
	p.Properties = orZero(&f, "properties", ReadMap)
	return f.done()
}

// appendCoordinator writes a target that asks for transactions, without capabilities.
func appendCoordinator(b []byte) []byte {
	b, mark := beginComposite(b, CodeCoordinator)
	return EndList(AppendNull(b), mark, 1)
}

func readCoordinator(b []byte) (bool, []byte, error) {
	f := fieldsOf(b, CodeCoordinator)
	rest, err := f.done()
	return true, rest, err
}

// Source [3.5.3].
type Source struct {
	Address               Opt[string]
	Durable               Opt[uint32]
	ExpiryPolicy          Symbol      // "" is null
	Timeout               Opt[uint32] // seconds
	Dynamic               Opt[bool]
	DynamicNodeProperties Map
	DistributionMode      Symbol // "" is null
	Filter                Map    // values are *Described or nil, by the specification
	DefaultOutcome        any    // *Described or nil, by the specification
	Outcomes              []Symbol
	Capabilities          []Symbol
}

// Append writes null for a nil s.
func (s *Source) Append(b []byte) []byte {
	if s == nil {
		return AppendNull(b)
	}
	b, mark := beginComposite(b, CodeSource)
	b = appendOpt(b, s.Address, AppendString)
	b = appendOpt(b, s.Durable, AppendUint)
	b = appendUnlessEmpty(b, s.ExpiryPolicy, AppendSymbol)
	b = appendOpt(b, s.Timeout, AppendUint)
	b = appendOpt(b, s.Dynamic, AppendBool)
	b = appendUnlessNil(b, s.DynamicNodeProperties, appendMap)
	b = appendUnlessEmpty(b, s.DistributionMode, AppendSymbol)
	b = appendUnlessNil(b, s.Filter, appendMap)
	b = AppendValue(b, s.DefaultOutcome)
	b = AppendSymbols(b, s.Outcomes)
	b = AppendSymbols(b, s.Capabilities)
	return EndList(b, mark, 11)
}

func (s *Source) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSource)
	*s = Source{
		Address:               optional(&f, "address", readAddress),
		Durable:               optional(&f, "durable", ReadUint),
		ExpiryPolicy:          orZero(&f, "expiry-policy", ReadSymbol),
		Timeout:               optional(&f, "timeout", ReadUint),
		Dynamic:               optional(&f, "dynamic", ReadBool),
		DynamicNodeProperties: orZero(&f, "dynamic-node-properties", ReadMap),
		DistributionMode:      orZero(&f, "distribution-mode", ReadSymbol),
		Filter:                orZero(&f, "filter", ReadMap),
		DefaultOutcome:        orZero(&f, "default-outcome", ReadValue),
		Outcomes:              orZero(&f, "outcomes", ReadSymbols),
		Capabilities:          orZero(&f, "capabilities", ReadSymbols),
	}
	return f.done()
}

// Target [3.5.4].
type Target struct {
	Address               Opt[string]
	Durable               Opt[uint32]
	ExpiryPolicy          Symbol      // "" is null
	Timeout               Opt[uint32] // seconds
	Dynamic               Opt[bool]
	DynamicNodeProperties Map
	Capabilities          []Symbol
}

// Append writes null for a nil t.
func (t *Target) Append(b []byte) []byte {
	if t == nil {
		return AppendNull(b)
	}
	b, mark := beginComposite(b, CodeTarget)
	b = appendOpt(b, t.Address, AppendString)
	b = appendOpt(b, t.Durable, AppendUint)
	b = appendUnlessEmpty(b, t.ExpiryPolicy, AppendSymbol)
	b = appendOpt(b, t.Timeout, AppendUint)
	b = appendOpt(b, t.Dynamic, AppendBool)
	b = appendUnlessNil(b, t.DynamicNodeProperties, appendMap)
	b = AppendSymbols(b, t.Capabilities)
	return EndList(b, mark, 7)
}

func (t *Target) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeTarget)
	*t = Target{
		Address:               optional(&f, "address", readAddress),
		Durable:               optional(&f, "durable", ReadUint),
		ExpiryPolicy:          orZero(&f, "expiry-policy", ReadSymbol),
		Timeout:               optional(&f, "timeout", ReadUint),
		Dynamic:               optional(&f, "dynamic", ReadBool),
		DynamicNodeProperties: orZero(&f, "dynamic-node-properties", ReadMap),
		Capabilities:          orZero(&f, "capabilities", ReadSymbols),
	}
	return f.done()
}

// readAddress reads the only kind of address we know. The specification lets an address be of any type [3.5.3].
func readAddress(b []byte) (string, []byte, error) {
	if len(b) > 0 && wideOf(b[0]) != ctorString32 {
		return "", nil, &DecodeError{CondNotImplemented, "address is a " + typeName(b[0]) + ", want a string"}
	}
	return ReadString(b)
}
