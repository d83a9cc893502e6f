package amqp

import (
	"fmt"
	"strings"
)

// Code is the numeric descriptor of a composite type or message section; 0 is none.
type Code uint64

const (
	CodeOpen        Code = 0x10 // performatives [2.7]
	CodeBegin       Code = 0x11
	CodeAttach      Code = 0x12
	CodeFlow        Code = 0x13
	CodeTransfer    Code = 0x14
	CodeDisposition Code = 0x15
	CodeDetach      Code = 0x16
	CodeEnd         Code = 0x17
	CodeClose       Code = 0x18

	CodeError Code = 0x1d // [2.8.14]

	CodeReceived Code = 0x23 // delivery states [3.4]
	CodeAccepted Code = 0x24
	CodeRejected Code = 0x25
	CodeReleased Code = 0x26
	CodeModified Code = 0x27

	CodeSource Code = 0x28 // termini [3.5]
	CodeTarget Code = 0x29

	CodeDeleteOnClose             Code = 0x2b // lifetimes of dynamic nodes [3.5.10]
	CodeDeleteOnNoLinks           Code = 0x2c
	CodeDeleteOnNoMessages        Code = 0x2d
	CodeDeleteOnNoLinksOrMessages Code = 0x2e

	CodeCoordinator        Code = 0x30 // transactions [4.5]
	CodeDeclare            Code = 0x31
	CodeDischarge          Code = 0x32
	CodeDeclared           Code = 0x33
	CodeTransactionalState Code = 0x34

	CodeSASLMechanisms Code = 0x40 // [5.3.3]
	CodeSASLInit       Code = 0x41
	CodeSASLChallenge  Code = 0x42
	CodeSASLResponse   Code = 0x43
	CodeSASLOutcome    Code = 0x44

	CodeHeader                Code = 0x70 // message sections [3.2]
	CodeDeliveryAnnotations   Code = 0x71
	CodeMessageAnnotations    Code = 0x72
	CodeProperties            Code = 0x73
	CodeApplicationProperties Code = 0x74
	CodeData                  Code = 0x75
	CodeSequence              Code = 0x76
	CodeValue                 Code = 0x77
	CodeFooter                Code = 0x78
)

// symbol is the symbolic descriptor that stands for the code, "" for a code without one.
func (c Code) symbol() string {
	switch c {
	case CodeOpen:
		return "amqp:open:list"
	case CodeBegin:
		return "amqp:begin:list"
	case CodeAttach:
		return "amqp:attach:list"
	case CodeFlow:
		return "amqp:flow:list"
	case CodeTransfer:
		return "amqp:transfer:list"
	case CodeDisposition:
		return "amqp:disposition:list"
	case CodeDetach:
		return "amqp:detach:list"
	case CodeEnd:
		return "amqp:end:list"
	case CodeClose:
		return "amqp:close:list"
	case CodeError:
		return "amqp:error:list"
	case CodeReceived:
		return "amqp:received:list"
	case CodeAccepted:
		return "amqp:accepted:list"
	case CodeRejected:
		return "amqp:rejected:list"
	case CodeReleased:
		return "amqp:released:list"
	case CodeModified:
		return "amqp:modified:list"
	case CodeSource:
		return "amqp:source:list"
	case CodeTarget:
		return "amqp:target:list"
	case CodeDeleteOnClose:
		return "amqp:delete-on-close:list"
	case CodeDeleteOnNoLinks:
		return "amqp:delete-on-no-links:list"
	case CodeDeleteOnNoMessages:
		return "amqp:delete-on-no-messages:list"
	case CodeDeleteOnNoLinksOrMessages:
		return "amqp:delete-on-no-links-or-messages:list"
	case CodeCoordinator:
		return "amqp:coordinator:list"
	case CodeDeclare:
		return "amqp:declare:list"
	case CodeDischarge:
		return "amqp:discharge:list"
	case CodeDeclared:
		return "amqp:declared:list"
	case CodeTransactionalState:
		return "amqp:transactional-state:list"
	case CodeSASLMechanisms:
		return "amqp:sasl-mechanisms:list"
	case CodeSASLInit:
		return "amqp:sasl-init:list"
	case CodeSASLChallenge:
		return "amqp:sasl-challenge:list"
	case CodeSASLResponse:
		return "amqp:sasl-response:list"
	case CodeSASLOutcome:
		return "amqp:sasl-outcome:list"
	case CodeHeader:
		return "amqp:header:list"
	case CodeDeliveryAnnotations:
		return "amqp:delivery-annotations:map"
	case CodeMessageAnnotations:
		return "amqp:message-annotations:map"
	case CodeProperties:
		return "amqp:properties:list"
	case CodeApplicationProperties:
		return "amqp:application-properties:map"
	case CodeData:
		return "amqp:data:binary"
	case CodeSequence:
		return "amqp:amqp-sequence:list"
	case CodeValue:
		return "amqp:amqp-value:*"
	case CodeFooter:
		return "amqp:footer:map"
	}
	return ""
}

// String is the specification's name, such as "transfer" or "message-annotations".
func (c Code) String() string {
	_, name, ok := strings.Cut(c.symbol(), ":")
	if !ok {
		return fmt.Sprintf("type %#x", uint64(c))
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}

// codeOf finds the code of a symbolic descriptor. Hardly anybody sends those, so a walk through the table does.
func codeOf(symbol []byte) (Code, bool) {
	for c := CodeOpen; c <= CodeFooter; c++ {
		if s := c.symbol(); s != "" && s == string(symbol) {
			return c, true
		}
	}
	return 0, false
}

// ReadDescriptor reads the descriptor in front of a described value, in numeric or symbolic form; rest starts with the value's
// constructor. A symbol that is not AMQP's own is an error. It does not allocate unless it fails.
func ReadDescriptor(b []byte) (code uint64, rest []byte, err error) {
	if len(b) >= 3 && b[0] == ctorDescribed && b[1] == ctorSmallUlong {
		return uint64(b[2]), b[3:], nil
	}
	switch {
	case len(b) == 0:
		return 0, nil, badValue("described value", b)
	case b[0] != ctorDescribed:
		return 0, nil, decodeErrorf("want a descriptor, found %s (%#02x)", typeName(b[0]), b[0])
	case len(b) == 1 || b[1]|0x10 != ctorSymbol32:
		return ReadUlong(b[1:])
	}
	symbol, rest, err := ReadSymbolBytes(b[1:])
	if err != nil {
		return 0, nil, err
	}
	c, ok := codeOf(symbol)
	if !ok {
		return 0, nil, decodeErrorf("unknown descriptor %.60q", symbol)
	}
	return uint64(c), rest, nil
}

// PeekCode says which composite or section a frame body or section starts with. The code may be one that has no meaning here.
func PeekCode(body []byte) (Code, error) {
	code, _, err := ReadDescriptor(body)
	return Code(code), err
}
