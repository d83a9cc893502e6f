package gateway

import (
	"fmt"
	"time"
)

// Limits bound what callers can use. Zero fields have the defaults named here.
type Limits struct {
	BodyBytesMax  int // of one message: 1 MiB
	BatchBytesMax int // of one batch's request: 4 MiB
	BatchItemsMax int // messages in one batch: 1,000
	PropertiesMax int // of one message, the attributes of a CloudEvent included: 64

	// InFlightBytesMax is the budget for requests under way: their bodies, twice where they are taken apart, and 8 KiB each. 256 MiB
	InFlightBytesMax int64
	// PrincipalShare is the part of it that one caller may hold; see IdempotencyKeysMax too. 0.25
	PrincipalShare float64

	// HandlerTime is how long storing may take once the body is in. 10 s
	HandlerTime time.Duration
	// BodyTime is how long a body may take in all, 30 s, and BodyRateMin how slow it may be on average after the first 5 s, 16 KiB/s.
	BodyTime    time.Duration
	BodyRateMin int

	// HeaderBytesMax is for Server. 32 KiB
	HeaderBytesMax int

	// IdempotencyKeysMax and IdempotencyBytesMax bound what is remembered for idempotency keys: when it is full, callers with more than
	// PrincipalShare of it lose their oldest first. IdempotencyAge says when all go. 65,536; 32 MiB; 24 h
	IdempotencyKeysMax  int
	IdempotencyBytesMax int
	IdempotencyAge      time.Duration

	// QuotasMax is how many callers' quotas are remembered, and as many addresses for Options.RefusalsPerSecond. The one that was away the longest is forgotten first. 65,536
	QuotasMax int

	// DrainNotice is how long Drain stays open after it stopped being ready, so that balancers see it in time. 0
	DrainNotice time.Duration
}

const (
	headerTime = 5 * time.Second
	bodyGrace  = 5 * time.Second // in which a body need not come at BodyRateMin
	answerTime = 10 * time.Second
	idleTime   = 2 * time.Minute // above that of common balancers (60 s), so that they close first
	readyTime  = 2 * time.Second

	requestBytes = 8 << 10 // what a request costs beside its body: stack, headers, results
)

func (l *Limits) setDefaults() error {
	orElse(&l.BodyBytesMax, 1<<20)
	orElse(&l.BatchBytesMax, 4<<20)
	orElse(&l.BatchItemsMax, 1000)
	orElse(&l.PropertiesMax, 64)
	orElse(&l.InFlightBytesMax, 256<<20)
	orElse(&l.PrincipalShare, 0.25)
	orElse(&l.HandlerTime, 10*time.Second)
	orElse(&l.BodyTime, 30*time.Second)
	orElse(&l.BodyRateMin, 16<<10)
	orElse(&l.HeaderBytesMax, 32<<10)
	orElse(&l.IdempotencyKeysMax, 1<<16)
	orElse(&l.IdempotencyBytesMax, 32<<20)
	orElse(&l.IdempotencyAge, 24*time.Hour)
	orElse(&l.QuotasMax, 1<<16)
	return l.check()
}

func orElse[T int | int64 | float64 | time.Duration](v *T, preset T) {
	if *v == 0 {
		*v = preset
	}
}

// check refuses limits under which no request, or not the largest that is allowed, could be served.
func (l *Limits) check() error {
	least := min(float64(l.BodyBytesMax), float64(l.BatchBytesMax), float64(l.BatchItemsMax), float64(l.PropertiesMax),
		float64(l.InFlightBytesMax), l.PrincipalShare, float64(l.HandlerTime), float64(l.BodyTime), float64(l.BodyRateMin),
		float64(l.HeaderBytesMax), float64(l.IdempotencyKeysMax), float64(l.IdempotencyBytesMax), float64(l.IdempotencyAge),
		float64(l.QuotasMax), float64(l.DrainNotice))
	if least < 0 {
		return fmt.Errorf("gateway: a limit is negative: %+v", *l)
	}
	if l.PrincipalShare > 1 {
		return fmt.Errorf("gateway: PrincipalShare is %g; it is a part of InFlightBytesMax and at most 1", l.PrincipalShare)
	}
	share, most := int64(float64(l.InFlightBytesMax)*l.PrincipalShare), bodyCost(max(l.BodyBytesMax, l.BatchBytesMax), true)+int64(l.BatchItemsMax)*itemBytes
	if share < most {
		return fmt.Errorf("gateway: one caller may hold %d bytes (InFlightBytesMax times PrincipalShare), and the largest request needs %d", share, most)
	}
	return nil
}

// What a message of a batch takes beside its text, and each of its properties: small text can make much of both.
const (
	itemBytes     = 512
	propertyBytes = 128
)

// bodyCost is what a request with a body of n bytes takes from the budget. Taking a batch or a structured CloudEvent apart may need its
// bytes a second time, for what was escaped or base64.
func bodyCost(n int, apart bool) int64 {
	if apart {
		n *= 2
	}
	return int64(n) + requestBytes
}
