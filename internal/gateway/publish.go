package gateway

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/evhub-dev/evhub/notify"
)

// publishOne takes a request with one message from its body to its answer.
func (c *call) publishOne(h *head) *problem {
	m, out := &c.one.messages[0], &c.one.outcomes[0]
	if p := c.readMessage(h, m); p != nil {
		return p
	}
	c.chargeRest(1)
	c.setID(m, h.idempotencyKey, 0)
	out.id = m.ID
	return c.complete(c.one.messages[:], c.one.outcomes[:], h, func() answer {
		if !out.stored {
			return c.failure(out.problem)
		}
		return answer{http.StatusCreated, jsonType, c.appendOne(make([]byte, 0, 192), out)}
	})
}

// readMessage makes the message of a single request.
func (c *call) readMessage(h *head, m *notify.Message) *problem {
	m.Key, m.Partition, m.Properties = h.key, h.partition, h.properties
	reader := eventReader{kind: badHeader, m: m, propertiesMax: c.g.o.Limits.PropertiesMax}
	switch h.form {
	case eventStructured:
		if p := checkJSON(badJSON, "the body", c.body); p != nil {
			return p
		}
		reader.kind = invalidMessage
		return reader.fromJSON(c.body)
	case eventBinary:
		if p := reader.fromHeader(h); p != nil {
			return p
		}
	}
	m.ContentType, m.Body = h.contentType, c.body
	return checkBody(badJSON, "the body", m)
}

// publishMany takes a batch from its body to its answer. What is wrong with one item is answered for that item.
func (c *call) publishMany(h *head) *problem {
	if p := checkJSON(badJSON, "the body", c.body); p != nil {
		return p
	}
	items, p := c.splitBatch(h)
	if p != nil {
		return p
	}
	c.chargeRest(len(items))
	if p := c.lease.grow(int64(len(items)) * itemBytes); p != nil {
		return p
	}
	messages, outcomes := make([]notify.Message, len(items)), make([]outcome, len(items))
	for i, item := range items {
		outcomes[i].problem = c.readItem(h.form, item, i, &messages[i])
		if p := c.lease.grow(int64(len(messages[i].Properties)) * propertyBytes); p != nil {
			return p
		}
		if outcomes[i].problem == nil {
			c.setID(&messages[i], h.idempotencyKey, i)
		}
		outcomes[i].id = messages[i].ID
	}
	return c.complete(messages, outcomes, h, func() answer { return c.batchAnswer(outcomes) })
}

// splitBatch finds the texts of a batch's items.
func (c *call) splitBatch(h *head) (items [][]byte, p *problem) {
	list := c.body
	if h.form == envelope {
		if list, p = envelopeItems(c.body); p != nil {
			return nil, p
		}
	}
	itemsMax := c.g.o.Limits.BatchItemsMax
	isArray := eachElement(list, func(item []byte) bool {
		items = append(items, item)
		return len(items) <= itemsMax
	})
	switch {
	case !isArray:
		return nil, problemOf(invalidMessage, "the messages of a batch are in a JSON array")
	case len(items) == 0:
		return nil, problemOf(invalidMessage, "the batch is empty: send at least one message")
	case len(items) > itemsMax:
		return nil, problemOf(tooLarge, "a batch may have "+strconv.Itoa(itemsMax)+" messages: send the rest in another")
	}
	return items, nil
}

// readItem makes one message of a batch. Its problem says where in the body the item is.
func (c *call) readItem(f form, text []byte, index int, m *notify.Message) *problem {
	l := &c.g.o.Limits
	var p *problem
	list := "/"
	if f == envelope {
		reader := itemReader{m: m, propertiesMax: l.PropertiesMax}
		p = reader.read(text)
		list = "/items/"
	} else {
		reader := eventReader{kind: invalidMessage, m: m, propertiesMax: l.PropertiesMax}
		p = reader.fromJSON(text)
	}
	if p == nil && len(m.Body) > l.BodyBytesMax {
		p = bodyTooLarge(l.BodyBytesMax)
	}
	if p != nil {
		p.pointer = list + strconv.Itoa(index) + p.pointer
	}
	return p
}

// complete sends what has no problem yet, and gives the answer that render makes of the outcomes.
//
// A request with an idempotency key claims it until the answer is known. Whether the client reads that is no matter: a repetition gets it too.
func (c *call) complete(messages []notify.Message, outcomes []outcome, h *head, render func() answer) *problem {
	claimed, answered, p := c.claimKey(h)
	if p != nil || answered {
		return p
	}
	if claimed != nil {
		c.answer(c.sendClaimed(messages, outcomes, claimed, render))
		return nil
	}
	c.sendOpen(messages, outcomes, false)
	c.answer(render())
	return nil
}

// sendClaimed sends what an earlier attempt did not store, and settles the key. That is done even if something panics on the way; what
// became of the messages is then unknown, and a repetition sends them again.
func (c *call) sendClaimed(messages []notify.Message, outcomes []outcome, claimed *attempt, render func() answer) (given answer) {
	defer func() { c.settleKey(claimed, outcomes, given) }()
	for i, before := range claimed.stored {
		outcomes[i] = before
	}
	c.sendOpen(messages, outcomes, true)
	return render()
}

// sendOpen sends the messages that have no problem and are not stored by an earlier attempt.
func (c *call) sendOpen(messages []notify.Message, outcomes []outcome, detached bool) {
	c.messages, c.firstID = len(messages), messages[0].ID
	open, of := c.one.open[:0], c.one.openOf[:0]
	if len(messages) > 1 {
		open, of = make([]notify.Message, 0, len(messages)), make([]*outcome, 0, len(messages))
	}
	for i := range outcomes {
		switch {
		case outcomes[i].problem != nil:
			c.door.counts.message(outcomes[i].reason())
		case outcomes[i].stored: // by an earlier attempt
			c.stored++
		default:
			open, of = append(open, messages[i]), append(of, &outcomes[i])
		}
	}
	if len(open) > 0 {
		c.send(open, of, detached)
	}
}

// appendOne adds the answer for a single message: {"hub":"orders","id":"...","partition":"0","sequence":5}.
func (c *call) appendOne(dst []byte, o *outcome) []byte {
	dst = appendQuoted(append(dst, `{"hub":`...), c.hub)
	return append(o.appendStored(append(dst, ',')), '}')
}

// batchAnswer is 201 if all was stored, 207 if some was, and else a problem.
func (c *call) batchAnswer(outcomes []outcome) answer {
	failed := 0
	for i := range outcomes {
		if !outcomes[i].stored {
			failed++
		}
	}
	wait := slowest(outcomes)
	if failed == len(outcomes) {
		p := *worst(outcomes)
		p.items = outcomes
		if wait != nil {
			p.retryAfter = max(p.retryAfter, wait.retryAfter, wait.wait)
		}
		return c.failure(&p)
	}
	status := http.StatusCreated
	if failed > 0 {
		status = http.StatusMultiStatus
		if wait != nil {
			c.askToReturn(wait)
		}
	}
	return answer{status, jsonType, c.appendBatch(nil, outcomes, failed)}
}

// appendBatch adds {"hub":"orders","stored":2,"failed":0,"items":[...]}.
func (c *call) appendBatch(dst []byte, outcomes []outcome, failed int) []byte {
	dst = slices.Grow(dst, 64+len(c.hub)+112*len(outcomes))
	dst = appendQuoted(append(dst, `{"hub":`...), c.hub)
	dst = strconv.AppendInt(append(dst, `,"stored":`...), int64(len(outcomes)-failed), 10)
	dst = strconv.AppendInt(append(dst, `,"failed":`...), int64(failed), 10)
	dst = append(dst, `,"items":`...)
	return append(appendOutcomes(dst, outcomes), '}')
}
