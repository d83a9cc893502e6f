package amqp

// How a SASL exchange ended [5.3.3.6].
const (
	SASLOk      uint8 = 0
	SASLAuth    uint8 = 1 // the credentials were refused
	SASLSys     uint8 = 2 // system error
	SASLSysPerm uint8 = 3 // that will not go away
	SASLSysTemp uint8 = 4 // that may go away
)

// SASLMechanisms is what a server offers [5.3.3.1].
type SASLMechanisms struct{ Mechanisms []Symbol }

func (p *SASLMechanisms) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeSASLMechanisms)
	return EndList(AppendSymbols(b, p.Mechanisms), mark, 1)
}

// Decode takes a single symbol as well as an array.
func (p *SASLMechanisms) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSASLMechanisms)
	*p = SASLMechanisms{Mechanisms: required(&f, "sasl-server-mechanisms", ReadSymbols)}
	return f.done()
}

// SASLInit is what a client chose [5.3.3.2].
type SASLInit struct {
	Mechanism       Symbol
	InitialResponse []byte // nil is null
	Hostname        Opt[string]
}

func (p *SASLInit) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeSASLInit)
	b = AppendSymbol(b, p.Mechanism)
	b = appendUnlessNil(b, p.InitialResponse, AppendBinary)
	b = appendOpt(b, p.Hostname, AppendString)
	return EndList(b, mark, 3)
}

func (p *SASLInit) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSASLInit)
	*p = SASLInit{
		Mechanism:       required(&f, "mechanism", ReadSymbol),
		InitialResponse: orZero(&f, "initial-response", readBinaryCopy),
		Hostname:        optional(&f, "hostname", ReadString),
	}
	return f.done()
}

// SASLChallenge [5.3.3.3].
type SASLChallenge struct{ Challenge []byte }

func (p *SASLChallenge) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeSASLChallenge)
	return EndList(AppendBinary(b, p.Challenge), mark, 1)
}

func (p *SASLChallenge) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSASLChallenge)
	*p = SASLChallenge{Challenge: required(&f, "challenge", readBinaryCopy)}
	return f.done()
}

// SASLResponse [5.3.3.4].
type SASLResponse struct{ Response []byte }

func (p *SASLResponse) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeSASLResponse)
	return EndList(AppendBinary(b, p.Response), mark, 1)
}

func (p *SASLResponse) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSASLResponse)
	*p = SASLResponse{Response: required(&f, "response", readBinaryCopy)}
	return f.done()
}

// SASLOutcome [5.3.3.5].
type SASLOutcome struct {
	Code           uint8  // SASLOk or one of its siblings
	AdditionalData []byte // nil is null
}

func (p *SASLOutcome) Append(b []byte) []byte {
	b, mark := beginComposite(b, CodeSASLOutcome)
	b = AppendUbyte(b, p.Code)
	b = appendUnlessNil(b, p.AdditionalData, AppendBinary)
	return EndList(b, mark, 2)
}

func (p *SASLOutcome) Decode(b []byte) (rest []byte, err error) {
	f := fieldsOf(b, CodeSASLOutcome)
	*p = SASLOutcome{
		Code:           required(&f, "code", ReadUbyte),
		AdditionalData: orZero(&f, "additional-data", readBinaryCopy),
	}
	return f.done()
}
